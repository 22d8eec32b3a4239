"""One synthetic root of the smallest size; tests read it and write nothing into it."""

from pathlib import Path

import pytest

from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import DemoSummary, write_demo
from urgency_dagster.demo.wearables import MIN_SAMPLES


@pytest.fixture(scope="session")
def summary(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    root = tmp_path_factory.mktemp("demo") / "root"
    return write_demo(root, calls=MIN_CALLS, samples=MIN_SAMPLES)


@pytest.fixture(scope="session")
def demo_root(summary: DemoSummary) -> Path:
    return summary.root
