"""The network, its text encoder, and inference."""
