"""Choice of the torch device, and reproducible computation on it.

The caller sets the options of the process, such as cuBLAS's workspace and the number of threads.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from urgency_dagster.errors import SettingsError

AUTO = "auto"

CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
"""The environment variable that makes matrix products on CUDA reproducible. Source: documentation of cuBLAS."""

MATMUL_SIZE = 1024
"""Rows and columns of the matrices of `matmul_gflops`. One product takes two cores some milliseconds."""


def resolve_device(name: str) -> str:
    """The torch device of a name. `auto` is CUDA if there is one, else Apple's MPS, else the CPU.

    Raises:
        SettingsError: torch does not know the device, or this machine does not have it.
    """
    import torch

    if name == AUTO:
        available = (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()), ("cpu", True))
        return next(device for device, present in available if present)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise SettingsError(
            f"the device {name!r} cannot be used", "auto, cpu, mps, cuda or cuda:<n>", "correct `device`"
        ) from error
    return name


def matmul_gflops(device: str, precision: str, size: int = MATMUL_SIZE, runs: int = 9) -> float:
    """The throughput in GFLOP per second of the fastest of several square matrix products.

    Args:
        device: a torch device.
        precision: a torch dtype, e.g. `bfloat16`.
        size: rows and columns.
        runs: number of timed products, after one warm-up.
    """
    return 2 * size**3 / _fastest_product_s(device, precision, size, runs, time.perf_counter) / 1e9


def core_gflops(precision: str, size: int = MATMUL_SIZE, runs: int = 9) -> float:
    """The throughput in GFLOP per second of one CPU core, by its processor time: other processes hardly change it.

    Args:
        precision: a torch dtype, e.g. `bfloat16`.
        size: rows and columns.
        runs: number of timed products, after one warm-up.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return 2 * size**3 / _fastest_product_s("cpu", precision, size, runs, time.thread_time) / 1e9
    finally:
        torch.set_num_threads(threads)


def _fastest_product_s(device: str, precision: str, size: int, runs: int, clock: Callable[[], float]) -> float:
    """The seconds of the fastest of several square matrix products, after one warm-up."""
    import torch

    matrix = torch.ones(size, size, device=device, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(runs + 1):
        start = clock()
        float((matrix @ matrix)[0, 0])  # reading a number waits until a GPU has finished
        seconds.append(clock() - start)
    return min(seconds[1:])


@contextmanager
def reproducible(seed: int, device: str) -> Iterator[None]:
    """Seeds Python, NumPy and torch, requires deterministic kernels, and restores the former state afterwards.

    Raises:
        SettingsError: the device is CUDA and CUBLAS_WORKSPACE_CONFIG is not set.
    """
    import torch

    if device.startswith("cuda") and CUBLAS_VARIABLE not in os.environ:
        raise SettingsError(f"{CUBLAS_VARIABLE} is not set", "`:4096:8`", "set it before the first step on CUDA")
    python_state, numpy_state = random.getstate(), np.random.get_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            # On CUDA, attention is deterministic only if other kernels are forbidden.
            torch.use_deterministic_algorithms(True, warn_only=not devices)
            # Filling costs time, and no code of the project reads uninitialised memory.
            memory.fill_uninitialized_memory = False
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            memory.fill_uninitialized_memory = filled
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def full_float32() -> Iterator[None]:
    """Disables TF32 in cuDNN, which rounds the operands of float32 convolutions to ten bits."""
    from torch.backends import cudnn

    with cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    ):
        yield
