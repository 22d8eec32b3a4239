"""Evaluation of a trained model on the validation side: scores, report, leak gap."""
