"""Cross-validation of the models by participant."""
