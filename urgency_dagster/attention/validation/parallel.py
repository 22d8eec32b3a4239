"""The fits of a cross-validation as tasks on Ray. What a fit does is in `folds`; nothing else of the room knows Ray."""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.folds import Failures, fit_and_predict, prepare_fold
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, Fold, FoldOutcome, Protocol

ONE_CORE = {"num_cpus": 1}
"""Each fit computes on one thread, so as many run as there are cores."""

RETRIES = 5
"""How often Ray repeats a task whose worker or node died, and makes a result again that went with its node.

Ray's own number is 3, unless RAY_TASK_MAX_RETRIES says otherwise. A task that raises is not repeated.
"""

FoldWork = tuple[Fold, Sequence[str]]
"""A fold, and the models to fit on it."""


def fit_on_ray(
    data: AttentionData, work: Sequence[FoldWork], config: CrossValidationConfig
) -> Generator[FoldOutcome, None, None]:
    """Every (model, fold), in the order in which they finish.

    X, y and groups go to the object store once; one task per fold scales and selects; the fits of that fold read its
    result there. The three lie on this process's node; the results of tasks may be lost with theirs, and are made
    again from what they were made from.

    Raises:
        Exception: whatever a fit raises, as Ray's twin of it, with a note that names its model and fold, when the
            other fits are finished.
    """
    import ray

    failures = Failures()
    with connected(config.address):
        tasks = _submitted(data, work, config.protocol)
        waiting = list(tasks)
        try:
            while waiting:
                (ended,), waiting = ray.wait(waiting, num_returns=1)
                with failures.of(*tasks[ended]):
                    yield ray.get(ended)
        finally:
            # A cluster that stays would go on with them for nobody.
            for task in waiting:
                ray.cancel(task)
    failures.raise_first()


Tasks = dict[Any, tuple[str, int]]
"""Model and fold of each fit, by the reference to its result."""


def _submitted(data: AttentionData, work: Sequence[FoldWork], protocol: Protocol) -> Tasks:
    import ray

    prepare = ray.remote(**ONE_CORE, max_retries=RETRIES)(prepare_fold)
    fit = ray.remote(**ONE_CORE, max_retries=RETRIES)(fit_and_predict)
    shared = [ray.put(value) for value in (data.X, data.y, data.groups)]
    tasks: Tasks = {}
    for fold, models in work:
        prepared = prepare.remote(*shared, fold, protocol)
        tasks |= {fit.remote(model, prepared, protocol): (model, fold.number) for model in models}
    return tasks


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A block in which this process is connected to Ray.

    A connection that exists is used and left as it is. Otherwise the cluster at `address` is joined, or a private one
    is started on this machine when it is None, and left or stopped again at the end.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address:
        ray.init(address=address, **quiet)
    else:
        with _home_without_cloud():
            # "local", not None: without an address Ray joins whatever cluster happens to run on the machine.
            ray.init(address="local", include_dashboard=False, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _home_without_cloud() -> Iterator[None]:
    """A block in which Ray's processes are started without asking a cloud's metadata service where they run.

    Ray's head does so at every start, usage statistics or not, unless its home holds a cluster's bootstrap file. The
    real home's token is kept: a second start in this process must find the same one.
    """
    real = Path.home()
    (real / ".ray").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="ray-home-") as folder:
        (Path(folder) / "ray_bootstrap_config.yaml").write_text("{}\n")
        (Path(folder) / ".ray").symlink_to(real / ".ray")
        before = os.environ.get("HOME")
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            os.environ.pop("HOME") if before is None else os.environ.update(HOME=before)
