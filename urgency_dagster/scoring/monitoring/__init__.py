"""What arrives after training, compared with the calls of the training set."""
