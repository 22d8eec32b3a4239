"""The storage roots of the tests of `defs`."""

from urgency_dagster_tests.defs.conftest import audit, first_run

__all__ = ["audit", "first_run"]
