"""The library versions that stored fits and models depend on."""

import sys
from importlib.metadata import version

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "lightgbm", "xgboost", "skops")
"""Distributions whose classes, arrays or format are in a model file."""


def library_versions() -> dict[str, str]:
    """The versions that a model file depends on: Python's to the minor one, each library's exactly."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: version(name) for name in LIBRARIES}}
