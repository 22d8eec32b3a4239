"""Where tensors live, and computing there so that the same input gives the same output.

Settings of the process that domain code must not touch (cuBLAS's workspace, thread counts) are the caller's.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from urgency_dagster.errors import SettingsError

AUTO = "auto"


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


@contextmanager
def reproducible(seed: int, device: str) -> Iterator[None]:
    """Seeds Python, NumPy and torch and asks torch for deterministic kernels, then restores what was before."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            # Warn only: a kernel without a deterministic form costs the last digit, not the training.
            torch.use_deterministic_algorithms(True, warn_only=True)
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def full_float32() -> Iterator[None]:
    """Keeps cuDNN from rounding the operands of float32 convolutions to ten bits (TF32), as it does by default."""
    from torch.backends import cudnn

    with cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    ):
        yield
