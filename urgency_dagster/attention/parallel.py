"""The fits of a cross-validation as tasks on Ray. What a fit does is in `folds`; nothing else of the room knows Ray."""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from urgency_dagster.attention.folds import Naming, fit_and_predict, prepare_fold
from urgency_dagster.attention.pickles import AttentionData
from urgency_dagster.attention.protocol import CrossValidationConfig, Fold, FoldOutcome

ONE_CORE = {"num_cpus": 1}
"""Each fit computes on one thread, so as many run as there are cores."""


def fit_on_ray(
    data: AttentionData, folds: Sequence[Fold], models: Sequence[str], config: CrossValidationConfig
) -> Generator[FoldOutcome, None, None]:
    """Every (model, fold), in the order in which they finish.

    X, y and groups go to the object store once; one task per fold scales and selects; the fits of that fold read its
    result there. A worker or node that dies costs a repetition by Ray, not the run.

    Raises:
        Exception: whatever a fit raises, as Ray's twin of it, with a note that names its model and fold.
    """
    import ray

    with connected(config.address):
        prepare = ray.remote(**ONE_CORE)(prepare_fold)
        fit = ray.remote(**ONE_CORE)(fit_and_predict)
        shared = [ray.put(value) for value in (data.X, data.y, data.groups)]
        tasks: dict[ray.ObjectRef, tuple[str, int]] = {}
        for fold in folds:
            prepared = prepare.remote(*shared, fold, config.seed)
            tasks |= {fit.remote(model, prepared, config.seed): (model, fold.number) for model in models}
        waiting = list(tasks)
        while waiting:
            (finished,), waiting = ray.wait(waiting, num_returns=1)
            with Naming(*tasks[finished]):
                outcome = ray.get(finished)
            yield outcome


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
