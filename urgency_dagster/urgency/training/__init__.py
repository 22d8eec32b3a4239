"""The network is fitted to the training side."""
