"""A trained model is judged on the validation side."""
