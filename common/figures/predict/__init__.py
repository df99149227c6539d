"""What predict.py draws, one module a figure."""
