"""Which classes a classifier confuses, one module a figure."""
