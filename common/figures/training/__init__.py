"""Figures of training and of self-training, one module each."""
