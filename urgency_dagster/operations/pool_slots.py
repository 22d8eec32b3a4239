"""The slots of Dagster's pools in SQLite: one process at a time takes or frees one.

Dagster reads a free slot and takes it in two statements. PostgreSQL and MySQL lock the row between them, SQLite does
not: two runs at the same moment take the same slot, and both steps start.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from filelock import FileLock

LOCK = "pool_slots.lock"
"""Name of the lock file in the Dagster home. It is empty, and it stays."""

P = ParamSpec("P")
T = TypeVar("T")


def take_slots_alone(instance: dg.DagsterInstance) -> None:
    """Lets the executor of this process take and free slots only while no other run of this home does.

    A slot that is freed is given to the next waiting step. A step that starts to wait at that moment would be
    overlooked, so freeing has the same lock. The system frees the lock of a killed process.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return
    lock = Path(instance.root_directory) / LOCK
    kind = type(storage)  # its functions, so that a second run of this process does not wait for its own lock
    for function in (kind.claim_concurrency_slot, kind.free_concurrency_slot_for_step):
        vars(storage)[function.__name__] = _alone(lock, partial(function, storage))


def _alone(lock: Path, function: Callable[P, T]) -> Callable[P, T]:
    """The function, called while the lock is held."""

    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with FileLock(lock):
            return function(*args, **kwargs)

    return alone
