"""Runs the fits of a cross-validation as Ray tasks. The fits are in `folds`; no other module of the room uses Ray."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.folds import Failures, fit_and_predict, prepare_fold
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, Fold, FoldOutcome, Protocol
from urgency_dagster.clusters import token_error

ONE_CORE = {"num_cpus": 1}
"""Each fit computes on one thread, so Ray runs one fit per core."""

MAX_RETRIES = 5
"""How often Ray repeats a task whose worker or node died, or whose result was lost with its node.

Ray's default is 3, or RAY_TASK_MAX_RETRIES. A task that raises an exception is not repeated.
"""

QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
"""Options of a connection: Ray neither prints nor changes the logging of this process."""

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


@contextmanager
def connected(address: str | None, num_cpus: int | None = None) -> Iterator[None]:
    """A block in which this process is connected to Ray.

    An existing connection is used and stays open. Otherwise the block joins the cluster at `address`, or starts a
    private cluster on this machine if `address` is None. It disconnects at the end; a private cluster is stopped.

    Args:
        address: the address of a cluster, or None.
        num_cpus: the cores of a private cluster; None for all cores of the machine.

    Raises:
        SettingsError: the cluster refuses the token of this process.
        ConnectionError: the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        yield
    elif address is None:
        with _private_cluster(num_cpus):
            yield
    else:
        _join(address)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _private_cluster(num_cpus: int | None = None) -> Iterator[None]:
    """A block in which this process is connected to a Ray cluster of its own on this machine.

    Args:
        num_cpus: its cores; None for all cores of the machine.
    """
    import ray

    with _home_without_cloud() as home:
        with _environment_home(home):
            # With None instead of "local", Ray would join a cluster that already runs on this machine.
            ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **QUIET)
        try:
            yield
        finally:
            ray.shutdown()


def _join(address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, **QUIET)
    except AuthenticationError as error:
        raise token_error(address, error) from error
    except ConnectionError as error:
        if "InvalidAuthToken" in str(error.__cause__):
            raise token_error(address, error.__cause__) from error
        raise


@contextmanager
def _home_without_cloud() -> Iterator[Path]:
    """A temporary home directory, with which Ray's head node sends no request to a cloud metadata service.

    Ray's head node sends the request at every start, even with usage statistics off, unless its home directory holds a
    cluster's bootstrap file. The token in the real home directory is linked: later starts need the same token. The
    folder lasts as long as the cluster: a worker that starts later reads the token, too, or dies and is started again
    for ever.
    """
    real = Path.home()
    (real / ".ray").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="ray-home-") as folder:
        (Path(folder) / "ray_bootstrap_config.yaml").write_text("{}\n")
        (Path(folder) / ".ray").symlink_to(real / ".ray")
        yield Path(folder)


@contextmanager
def _environment_home(home: Path) -> Iterator[None]:
    """A block in which HOME names another folder."""
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("HOME") if before is None else os.environ.update(HOME=before)
