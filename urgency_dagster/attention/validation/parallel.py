"""Runs the fits of a cross-validation as Ray tasks. The fits are in `folds`; no other module of the room uses Ray."""

from collections.abc import Generator, Sequence
from typing import Any

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.folds import Failures, fit_and_predict, prepare_fold
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, Fold, FoldOutcome, Protocol
from urgency_dagster.clusters import connected

ONE_CORE = {"num_cpus": 1}
"""Each fit computes on one thread, so Ray runs one fit per core."""

MAX_RETRIES = 5
"""How often Ray repeats a task whose worker or node died, or whose result was lost with its node.

Ray's default is 3, or RAY_TASK_MAX_RETRIES. A task that raises an exception is not repeated.
"""

FoldWork = tuple[Fold, Sequence[str]]
"""A fold, and the models to fit in it."""


def fit_on_ray(
    data: AttentionData, work: Sequence[FoldWork], config: CrossValidationConfig
) -> Generator[FoldOutcome, None, None]:
    """Yields the outcome of every fit, in the order of completion.

    X, y and groups are put into the object store once. One task per fold scales and selects features; the fits of the
    fold read its result from the object store. If a node is lost, Ray repeats the tasks whose results were on it.

    Raises:
        Exception: the first exception of a fit (Ray's copy), with a note that names its model and fold. It is raised
            after the other fits are finished.
    """
    import ray

    failures = Failures()
    with connected(config.address, config.num_cpus):
        tasks = _submitted(data, work, Protocol.of(config))
        waiting = list(tasks)
        try:
            while waiting:
                (finished,), waiting = ray.wait(waiting, num_returns=1)
                with failures.collected(*tasks[finished]):
                    yield ray.get(finished)
        finally:
            # A shared cluster would go on computing tasks that nobody reads.
            for task in waiting:
                ray.cancel(task)
    failures.raise_first()


Tasks = dict[Any, tuple[str, int]]
"""Model and fold number of each fit, by its Ray object reference."""


def _submitted(data: AttentionData, work: Sequence[FoldWork], protocol: Protocol) -> Tasks:
    import ray

    prepare = ray.remote(**ONE_CORE, max_retries=MAX_RETRIES)(prepare_fold)
    fit = ray.remote(**ONE_CORE, max_retries=MAX_RETRIES)(fit_and_predict)
    shared = [ray.put(value) for value in (data.X, data.y, data.groups)]
    tasks: Tasks = {}
    for fold, models in work:
        prepared = prepare.remote(*shared, fold, protocol)
        tasks |= {fit.remote(model, prepared, protocol): (model, fold.number) for model in models}
    return tasks
