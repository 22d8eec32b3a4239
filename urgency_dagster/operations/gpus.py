"""As many GPUs as there are: the limit of the Dagster pool follows them, and each local step gets its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile

import dagster as dg
from filelock import FileLock, Timeout

from urgency_dagster.operations.placement import GPU_POOL, living_gpus
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import AUTO, Settings

CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable with the GPUs that CUDA may use. Source: CUDA C++ programming guide."""

LIMIT_NOTE = "urgency/gpu_limit"
"""Name in Dagster's storage: the limit of the pool that was set here. Another limit is the user's."""

FORMER_LIMIT = "1"
"""The limit that earlier versions set without a note."""

DRIVER_TIMEOUT_S = 30
"""Maximum seconds to wait for the list of the GPU's driver."""

POLL_S = 0.5
"""Seconds between two attempts to get a GPU."""

_own_gpu: list[FileLock] = []
"""The lock of the GPU of this process. It is released when the process ends."""


def visible_gpus() -> list[str]:
    """The GPUs of this process as CUDA names them: those of CUDA_VISIBLE_DEVICES, else those of the driver."""
    named = os.environ.get(CUDA_VARIABLE)
    if named is not None:
        return list(takewhile(lambda name: name not in ("", "-1"), map(str.strip, named.split(","))))
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=DRIVER_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())  # not the lines of MIG instances
    return [str(number) for number in range(count)]


def gpu_limit(settings: Settings) -> int:
    """How many steps may use a GPU at the same time: URGENCY_GPUS, else the number of GPUs, at least one.

    Raises:
        SettingsError: no Ray cluster answers.
    """
    if settings.gpus is not None:
        return settings.gpus
    return max(1, living_gpus() if settings.executor == "ray" else len(visible_gpus()))


def follow_gpus(instance: dg.DagsterInstance, limit: int) -> None:
    """Sets the limit of the GPU pool over all runs. A limit that the user set in Dagster stays."""
    from sqlalchemy.exc import IntegrityError

    storage, notes = instance.event_log_storage, instance.daemon_cursor_storage
    if not storage.supports_global_concurrency_limits:
        return
    if GPU_POOL in storage.get_concurrency_keys():
        present = storage.get_concurrency_info(GPU_POOL).limit
        noted = notes.get_cursor_values({LIMIT_NOTE}).get(LIMIT_NOTE, FORMER_LIMIT)
        if present == limit or str(present) != noted:
            return
    try:
        storage.set_concurrency_slots(GPU_POOL, limit)
    except IntegrityError:  # a run that started at the same moment has made the pool
        storage.set_concurrency_slots(GPU_POOL, limit)
    notes.set_cursor_values({LIMIT_NOTE: str(limit)})


def take_gpu(paths: StoragePaths, device: str, log: Callable[[str], object]) -> None:
    """Gives this process a GPU of its own until it ends. Call it before the first use of CUDA.

    The lock files are below the storage root. Ray shows a step one GPU only, so that nothing is left to do here.

    Args:
        paths: the storage root.
        device: the option `device` of the step. A number, as in `cuda:1`, chooses the GPU.
        log: gets a line that names the GPU, and a line if the step waits for it.
    """
    kind, _, number = device.partition(":")
    gpus = visible_gpus()
    if _own_gpu or len(gpus) < 2 or kind not in (AUTO, "cuda"):
        return
    if number:  # torch counts the GPUs itself, and refuses a number that does not exist
        wanted = gpus[int(number) : int(number) + 1] if number.isdecimal() else []
        if wanted:
            _lock_one(paths, wanted, log)
    else:
        os.environ[CUDA_VARIABLE] = _lock_one(paths, gpus, log)


def _lock_one(paths: StoragePaths, gpus: Sequence[str], log: Callable[[str], object]) -> str:
    """Locks a free GPU for the rest of this process. The system frees the lock of a killed process."""
    locks = {gpu: FileLock(paths.gpu_lock(socket.gethostname(), gpu), timeout=0) for gpu in gpus}
    gpu = _free_one(locks)
    if gpu is None:
        log(f"waiting for a GPU: {len(gpus)} of {len(gpus)} are in use by other steps")
    while gpu is None:
        time.sleep(POLL_S)
        gpu = _free_one(locks)
    _own_gpu.append(locks[gpu])
    log(f"this step uses GPU {gpu} alone")
    return gpu


def _free_one(locks: Mapping[str, FileLock]) -> str | None:
    """The first GPU whose lock could be acquired, or None."""
    for gpu, lock in locks.items():
        with suppress(Timeout):
            lock.acquire()
            return gpu
    return None
