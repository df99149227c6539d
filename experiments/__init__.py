"""Studies: what data, self-training, averages and minutes of training do to a score."""
