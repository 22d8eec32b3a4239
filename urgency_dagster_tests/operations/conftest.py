"""The fixtures of `defs`: storage roots at several stages."""

from urgency_dagster_tests.defs.conftest import (
    audit,
    finished_root,
    first_run,
    forked,
    made,
    materialised,
    paths,
    settings,
    storage_root,
)

__all__ = [
    "audit",
    "finished_root",
    "first_run",
    "forked",
    "made",
    "materialised",
    "paths",
    "settings",
    "storage_root",
]
