"""Faults that are made on purpose, and what became of them."""
