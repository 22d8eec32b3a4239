"""The versions that stored artefacts depend on: of this project's code and of the libraries.

"The code changed" means: a version in this file was increased. Increase the version of an artefact when the same input
and the same options give other bytes. Comments, names and speed do not count.
"""

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

CODE_VERSIONS: Mapping[str, str] = {
    "attention_features": "2",
    "attention_cv": "3",
    "attention_audit": "2",
    "attention_leaderboard": "3",
    "attention_models": "3",
}
"""The code version of each artefact. `attention_cv` is also the version of the fits in the fit cache."""

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "lightgbm", "xgboost", "skops")
"""Distributions whose classes, arrays or file format are part of a model file."""

OVERSAMPLER = "imbalanced-learn"
"""The distribution that oversamples. No exported model holds its classes, but fits depend on it."""

NOT_INSTALLED = "not installed"


def library_versions() -> dict[str, str]:
    """The versions that a model file depends on: Python's minor version, and the full version of each library."""
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **_versions(*LIBRARIES)}


def fit_versions() -> dict[str, str]:
    """The versions that the numbers of a fit depend on: of the code, of Python and of the libraries."""
    return {"code": CODE_VERSIONS["attention_cv"], **library_versions(), **_versions(OVERSAMPLER)}


def _versions(*distributions: str) -> dict[str, str]:
    return {name: _version(name) for name in distributions}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return NOT_INSTALLED
