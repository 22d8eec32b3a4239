"""The asset groups."""

GROUPS = ("calls", "urgency", "attention")
"""The asset groups, in the order in which the `run` command makes them."""
