"""Where tensors live, and computing there so that the same input gives the same output.

Settings of the process that domain code must not touch (cuBLAS's workspace, thread counts) are the caller's.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.errors import SettingsError

if TYPE_CHECKING:
    from accelerate import Accelerator

AUTO = "auto"

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
"""The variable without which products of matrices on CUDA may differ from run to run. Source: cuBLAS."""

FULL, BF16, FP16 = "no", "bf16", "fp16"
MIXED_PRECISIONS = (FULL, BF16, FP16)
"""What part of a training is computed in 16 bits: nothing, or matrix products and the like. Weights stay float32.

Source: accelerate's names.
"""

PRODUCT_SIZE = 1024
"""Rows and columns of the matrices of `product_gflops`: large enough to keep two cores busy for some milliseconds."""


def resolve_device(name: str) -> str:
    """The device to compute on: `auto` is CUDA if there is one, else Apple's MPS, else the CPU.

    Raises:
        SettingsError: torch knows no such device, or this machine has none.
    """
    import torch

    if name == AUTO:
        available = (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()), ("cpu", True))
        return next(device for device, present in available if present)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise SettingsError(
            f"the device {name!r} cannot be used", "auto, cpu, mps, cuda or cuda:<n>", "correct `device`"
        ) from error
    return name


def product_gflops(device: str, precision: str, size: int = PRODUCT_SIZE, runs: int = 9) -> float:
    """The GFLOP per second of the fastest of some square matrix products by torch.

    Args:
        device: a torch device.
        precision: the name of a dtype of torch.
        size: rows and columns.
        runs: how many products are timed, after one that is not.
    """
    import torch

    matrix = torch.ones(size, size, device=device, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # reading a number waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[1:]) / 1e9


@contextmanager
def reproducible(seed: int, device: str) -> Iterator[None]:
    """Seeds Python, NumPy and torch and asks torch for deterministic kernels, then restores what was before.

    Raises:
        SettingsError: the device is CUDA and this process does not set up cuBLAS for it.
    """
    import torch

    if device.startswith("cuda") and CUBLAS not in os.environ:
        raise SettingsError(f"{CUBLAS} is not set", "`:4096:8`", "set it before the first step on CUDA")
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
            # On CUDA attention is deterministic only where nothing else is allowed.
            torch.use_deterministic_algorithms(True, warn_only=not devices)
            # Nothing here reads memory before it is written.
            memory.fill_uninitialized_memory = False
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            memory.fill_uninitialized_memory = filled
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def accelerator_on(device: str, mixed_precision: str) -> "Iterator[Accelerator]":
    """Accelerate for one training on one device; its settings, which are the whole process's, end with the block.

    Args:
        device: a torch device, as `resolve_device` gives it.
        mixed_precision: one of MIXED_PRECISIONS.

    Raises:
        SettingsError: the device cannot compute in that precision.
    """
    import torch
    from accelerate.state import AcceleratorState

    # Settings that were left by anybody else would win over these. Source: transformers' Trainer does the same.
    AcceleratorState._reset_state(reset_partial_state=True)
    with torch.cuda.device(device) if device.startswith("cuda") else nullcontext():
        try:
            yield _accelerator(device, mixed_precision)
        finally:
            AcceleratorState._reset_state(reset_partial_state=True)


def _accelerator(device: str, mixed_precision: str) -> "Accelerator":
    from accelerate import Accelerator

    wanted = ("another `mixed_precision`", "use `no`, which every device can")
    if mixed_precision == FP16 and device == "cpu":  # accelerate would compute in float32 and not say so
        raise SettingsError(f"mixed_precision = {FP16} on the device {device}", *wanted)
    try:
        return Accelerator(mixed_precision=mixed_precision, cpu=device == "cpu")
    except ValueError as error:
        raise SettingsError(f"mixed_precision = {mixed_precision} on the device {device}", *wanted) from error


@contextmanager
def full_float32() -> Iterator[None]:
    """Keeps cuDNN from rounding the operands of float32 convolutions to ten bits (TF32), as it does by default."""
    from torch.backends import cudnn

    with cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    ):
        yield
