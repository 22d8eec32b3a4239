"""A trained model as files: model folder, model card, checkpoints, thresholds."""
