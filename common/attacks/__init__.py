"""Adversarial images: an engine and one attack a file, and how robust a model is to them."""
