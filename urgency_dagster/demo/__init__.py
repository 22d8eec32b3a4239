"""Synthetic inputs of the real shape: spoken calls, wearable features and tiny models."""
