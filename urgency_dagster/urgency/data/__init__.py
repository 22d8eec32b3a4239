"""The training set: rows of all archives joined and split, and batches of them."""
