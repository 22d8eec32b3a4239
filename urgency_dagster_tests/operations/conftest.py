"""The fixtures of `defs`: storage roots at several stages."""

from urgency_dagster_tests.defs.conftest import (
    audit,
    demo_root,
    finished_root,
    first_run,
    forked,
    made,
    materialised,
    paths,
    settings,
    shared,
    storage_root,
)

__all__ = [
    "audit",
    "demo_root",
    "finished_root",
    "first_run",
    "forked",
    "made",
    "materialised",
    "paths",
    "settings",
    "shared",
    "storage_root",
]
