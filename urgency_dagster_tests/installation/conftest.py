"""The storage roots of the tests of `defs`."""

from urgency_dagster_tests.defs.conftest import audit, demo_root, first_run, shared

__all__ = ["audit", "demo_root", "first_run", "shared"]
