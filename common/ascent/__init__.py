"""What excites a unit of a network: images made by gradient ascent, or found in a dataset."""
