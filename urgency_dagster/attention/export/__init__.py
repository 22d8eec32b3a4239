"""Fitted models as files, and the only way to load them."""
