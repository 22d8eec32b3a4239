"""Attention from wearables: a K-EmoPhone pickle becomes cross-validated, audited and exported models.

This is the public door of the subject. Names are imported on first use, so that importing the door is cheap.
Modules below it are private. Nothing here knows Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urgency_dagster.attention.audit.audit import write_audit
    from urgency_dagster.attention.audit.controls import ControlConfig
    from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
    from urgency_dagster.attention.export.files import export_models
    from urgency_dagster.attention.export.loading import load_model
    from urgency_dagster.attention.leaderboard import write_leaderboard
    from urgency_dagster.attention.reading.features import read_features
    from urgency_dagster.attention.reading.pickles import AttentionData
    from urgency_dagster.attention.reading.sandbox import LoadingLimits, import_pickle
    from urgency_dagster.attention.validation.cross_validation import cross_validate
    from urgency_dagster.attention.validation.fit_cache import FitCache
    from urgency_dagster.attention.validation.protocol import (
        BASELINE,
        LEAKAGE_SUSPICION,
        MODEL_NAMES,
        CrossValidationConfig,
    )
    from urgency_dagster.attention.validation.results import write_results
    from urgency_dagster.attention.versions import CODE_VERSIONS

__all__ = [
    "BASELINE",
    "CODE_VERSIONS",
    "LEAKAGE_SUSPICION",
    "MODEL_NAMES",
    "AttentionData",
    "ControlConfig",
    "CrossValidationConfig",
    "Finding",
    "FindingKind",
    "FitCache",
    "Level",
    "LoadingLimits",
    "cross_validate",
    "export_models",
    "import_pickle",
    "load_model",
    "read_features",
    "write_audit",
    "write_leaderboard",
    "write_results",
]

_MODULES = {
    "BASELINE": "validation.protocol",
    "CODE_VERSIONS": "versions",
    "LEAKAGE_SUSPICION": "validation.protocol",
    "MODEL_NAMES": "validation.protocol",
    "AttentionData": "reading.pickles",
    "ControlConfig": "audit.controls",
    "CrossValidationConfig": "validation.protocol",
    "Finding": "audit.findings",
    "FitCache": "validation.fit_cache",
    "FindingKind": "audit.findings",
    "Level": "audit.findings",
    "LoadingLimits": "reading.sandbox",
    "cross_validate": "validation.cross_validation",
    "export_models": "export.files",
    "import_pickle": "reading.sandbox",
    "load_model": "export.loading",
    "read_features": "reading.features",
    "write_audit": "audit.audit",
    "write_leaderboard": "leaderboard",
    "write_results": "validation.results",
}
"""The module of each public name, below this package."""


def __getattr__(name: str) -> Any:
    """Imports a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
