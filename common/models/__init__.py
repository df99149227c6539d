"""Networks by name, their weights, and the one engine that runs a model batch by batch."""
