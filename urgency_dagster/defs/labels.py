"""Owners, tags and freshness of the assets, by which the UI filters them."""

from datetime import timedelta

import dagster as dg

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

EVALUATED_LATELY = dg.FreshnessPolicy.time_window(fail_window=timedelta(weeks=26), warn_window=timedelta(weeks=5))
"""A report of scores is fresh for five weeks. What is made from files is not dated: it is as old as its files."""
