"""Steps: what a planned one keeps, how often a failed one is repeated, and the sentence that its run page shows first.

An asset of a planned run is kept when its inputs got the content that they had. Then the body is not called.

What may pass by itself is repeated: a killed process, a lost Ray node, a connection, a disk that answers again. Bad
data, wrong options and bugs would fail in the same way, so they are not repeated.
"""

import errno
import inspect
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any

import dagster as dg

from urgency_dagster.errors import UrgencyError
from urgency_dagster.operations.processes import memory_kills
from urgency_dagster.provenance.keeping import kept_results

RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)
"""How often a step is repeated, in the same run: after 5 s, and after 15 s more."""

LASTING = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EINVAL,
    errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EROFS,
}  # fmt: skip
"""Numbers of operating system errors that a repetition cannot mend."""

LOST_ON_RAY = (
    "WorkerCrashedError", "NodeDiedError", "RayActorError", "ObjectLostError", "LocalRayletDiedError", "RpcError",
    "RaySystemError", "OutOfMemoryError",
)  # fmt: skip
"""Ray's exceptions for a worker or node that is gone. Ray kills the worker that it calls out of memory."""

NO_MEMORY_LEFT = "A process was killed because the machine had no memory left"
"""What is said about a killed process if Linux has killed one for lack of memory since the step, or the run, began."""

MEMORY_REMEDY = "to fix it, end other programs, set a smaller `workers` in run_config.yaml, or use a larger machine"

Body = Callable[..., Any]


def asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:
    """`dagster.asset` with repetitions; see `step_of`."""
    return lambda body: dg.asset(**options, retry_policy=RETRIES)(step_of(body))


def multi_asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:
    """`dagster.multi_asset` with repetitions; see `step_of`."""
    return lambda body: dg.multi_asset(**options, retry_policy=RETRIES)(step_of(body))


def step_of(body: Body) -> Body:
    """The body of an asset that is called only if needed, and whose lasting errors become a `dagster.Failure`.

    Dagster repeats every other exception by the policy of the asset. The signature stays, because Dagster reads it.
    """
    if inspect.isgeneratorfunction(body):

        @wraps(body)
        def generate(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _explained_errors():
                yield from _kept(body, args, kwargs) or body(*args, **kwargs)

        return generate

    @wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _explained_errors():
            kept = _kept(body, args, kwargs)
            return kept[0] if kept else body(*args, **kwargs)

    return call


def _kept(body: Body, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[dg.MaterializeResult[Any]]:
    """The stored results of the step, if it need not compute."""
    given = inspect.signature(body).bind(*args, **kwargs).arguments
    if "storage" not in given:
        return []
    context, models = given["context"], given.get("models")
    kept = kept_results(context, given["storage"].paths, given.get("config"), models.names if models else {})
    if kept:
        context.log.info("unchanged: kept, because the inputs have the content with which it was made")
    return kept


@contextmanager
def _explained_errors() -> Iterator[None]:
    kills = memory_kills()
    try:
        yield
    except (dg.Failure, dg.RetryRequested, dg.DagsterError):
        raise
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as error:
        # With a policy, Dagster would announce a repetition of the step, although its run ends.
        raise dg.Failure("The step was stopped with its run.", allow_retries=False) from error
    except Exception as error:
        if not is_passing(error):
            raise dg.Failure(sentence(error), allow_retries=False) from error
        if memory_kills() == kills:
            raise
        raise dg.Failure(f"{NO_MEMORY_LEFT}; {MEMORY_REMEDY}") from error


def is_passing(error: BaseException) -> bool:
    """Whether a repetition may succeed."""
    if isinstance(error, BrokenExecutor | ConnectionError | TimeoutError):  # joblib's and loky's are BrokenExecutor
        return True
    if isinstance(error, OSError):
        return error.errno is not None and error.errno not in LASTING
    ray = sys.modules.get("ray.exceptions")
    return ray is not None and isinstance(error, tuple(getattr(ray, name) for name in LOST_ON_RAY))


def sentence(error: BaseException) -> str:
    """The sentence of an error for the run page: ours is complete, another one needs the name of its class."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter: torch on a GPU
        return f"The step has not enough memory ({type(error).__name__}: {error}); {MEMORY_REMEDY}"
    return str(error) if isinstance(error, UrgencyError) else f"{type(error).__name__}: {error}"
