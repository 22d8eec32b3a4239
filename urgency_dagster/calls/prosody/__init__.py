"""Prosodic features of each utterance: pitch, loudness, zero crossings and speaking rate."""
