"""Fitted models as files, and loading them again."""
