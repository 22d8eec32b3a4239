"""One synthetic root of the smallest size; tests read it and write nothing into it."""

from pathlib import Path

import pytest

from urgency_dagster.demo.archives import LEAST_CALLS
from urgency_dagster.demo.inputs import write_demo
from urgency_dagster.demo.wearables import LEAST_SAMPLES


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "root"
    write_demo(root, calls=LEAST_CALLS, samples=LEAST_SAMPLES)
    return root
