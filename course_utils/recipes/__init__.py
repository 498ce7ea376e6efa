"""How the shipped checkpoints are made: one module for each, with its training data and `train`."""
