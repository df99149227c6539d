"""Figures, tables and sentences of adversarial.py, one module a result."""
