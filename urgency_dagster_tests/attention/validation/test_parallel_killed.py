"""Ray workers and nodes that are killed during a cross-validation."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import psutil
import pytest

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, ModelResult
from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.child_process import PATIENCE_S

pytestmark = pytest.mark.slow

MODELS = ("rf", "lgbm", "logreg")
FIT, PREPARATION = "ray::fit_and_predict", "ray::prepare_fold"
"""How Ray calls a worker while it runs one of the tasks."""


@pytest.fixture(scope="module")
def many() -> AttentionData:
    """So many rows that a fit of the forest takes about a second."""
    return make_data(rows=2500)


@pytest.fixture(scope="module")
def undisturbed(many: AttentionData) -> dict[str, ModelResult]:
    return cross_validate(many, MODELS, CrossValidationConfig(backend="sequential"))


def equal(found: Any, undisturbed: dict[str, ModelResult]) -> bool:
    for model in MODELS:
        pd.testing.assert_frame_equal(found[model].predictions, undisturbed[model].predictions, check_exact=True)
        pd.testing.assert_frame_equal(found[model].folds, undisturbed[model].folds, check_exact=True)
    return True


def busy(parent: psutil.Process, *titles: str) -> list[psutil.Process]:
    """The workers below a process that are at work on one of the tasks."""
    found = []
    for process in parent.children(recursive=True):
        try:
            if process.cmdline() and process.cmdline()[0].startswith(titles):
                found.append(process)
        except psutil.Error:  # it has ended since
            continue
    return found


def until(wanted: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := wanted()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_lost_node_does_not_change_the_results(many: AttentionData, undisturbed: dict[str, ModelResult]) -> None:
    import ray
    from ray.cluster_utils import Cluster

    # The head has no processor, so every task is on the node until another node takes its place.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    node = cluster.add_node(num_cpus=2)
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    lost = []

    def remove_node(done: int, total: int, **figures: float) -> None:
        if done == 3:
            lost.extend(until(lambda: busy(raylet, FIT, PREPARATION)))
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=2)

    try:
        found = cross_validate(many, MODELS, CrossValidationConfig(address=cluster.address), remove_node)
        assert not ray.is_initialized()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost
    assert equal(found, undisturbed)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A Ray of two tests. The test before them needs a process without one."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.parametrize("title", [FIT, PREPARATION])
def test_a_killed_worker_does_not_change_the_results(
    many: AttentionData, undisturbed: dict[str, ModelResult], local_ray: None, title: str
) -> None:
    killed = []

    def kill_one() -> None:
        (victim, *_) = until(lambda: busy(psutil.Process(), title))
        time.sleep(0.1)
        victim.kill()
        killed.append(victim)

    killer = threading.Thread(target=kill_one)
    killer.start()
    found = cross_validate(many, MODELS, CrossValidationConfig())
    killer.join()
    assert len(killed) == 1
    assert equal(found, undisturbed)
