"""One synthetic root of the smallest size; tests read it and write nothing into it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import DemoSummary, write_demo
from urgency_dagster.demo.wearables import MIN_SAMPLES


class Demo(NamedTuple):
    """What one call of `write_demo` returned and reported."""

    summary: DemoSummary
    progress: list[tuple[int, int]]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    seen: list[tuple[int, int]] = []
    root = tmp_path_factory.mktemp("demo") / "root"
    summary = write_demo(
        root, calls=MIN_CALLS, samples=MIN_SAMPLES, progress=lambda done, total, **_: seen.append((done, total))
    )
    return Demo(summary, seen)


@pytest.fixture(scope="session")
def demo_root(demo: Demo) -> Path:
    return demo.summary.root
