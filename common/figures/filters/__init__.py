"""What filters see, one module a figure."""
