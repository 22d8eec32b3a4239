"""Kept utterances become wav2vec2 vectors."""
