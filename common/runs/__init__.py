"""Run folders: their files, where they came from, how they go on, what they recorded."""
