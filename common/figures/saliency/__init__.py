"""The figures of saliency.py, one module each."""
