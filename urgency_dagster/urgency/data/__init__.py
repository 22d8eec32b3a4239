"""Rows of all archives become a training set with two sides, and batches of it."""
