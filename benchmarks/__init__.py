"""Speed and memory against the obvious alternative, as ratios measured side by side in one run."""
