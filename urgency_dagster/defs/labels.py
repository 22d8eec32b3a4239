"""Owners and tags of the assets, by which the UI filters them."""

CALLS_TEAM = ["team:emergency-calls"]
WEARABLES_TEAM = ["team:wearables"]
"""The owners of the assets. A team of Dagster+ is notified about them; elsewhere it is a name to filter by."""

PERSONAL = {"holds": "personal-data"}
"""Tag of assets whose rows or files are about single persons: words, voices, answers or ids."""

FIGURES = {"holds": "figures"}
"""Tag of assets that hold scores and reports."""

MODEL = {"holds": "model"}
"""Tag of assets that hold the weights of a model."""

ON_DEMAND = {"made": "on-demand"}
"""Tag of assets that no other asset needs, and that neither the sensor nor `run` makes."""
