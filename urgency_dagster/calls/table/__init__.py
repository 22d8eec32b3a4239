"""Recordings and labels become the utterance table and the reject table."""
