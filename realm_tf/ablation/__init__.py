"""The ablations of the paper, at a size that fits a budget."""
