"""Extracted labels and recordings become the utterance table and the reject table."""
