"""A trained model as files: the model folder, its card, checkpoints."""
