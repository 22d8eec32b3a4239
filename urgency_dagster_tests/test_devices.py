"""The torch device, reproducible computation, and precision."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from urgency_dagster.devices import core_gflops, full_float32, matmul_gflops, reproducible, resolve_device
from urgency_dagster.errors import SettingsError

DETERMINISTIC: Any = torch.utils.deterministic


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_the_same_seed_draws_the_same() -> None:
    with reproducible(7, "cpu"):
        first = draw()
    with reproducible(7, "cpu"):
        second = draw()
    with reproducible(8, "cpu"):
        third = draw()
    assert first == second
    assert all(a != b for a, b in zip(first, third, strict=True))


def test_the_generators_of_the_caller_continue_unchanged() -> None:
    with reproducible(1, "cpu"):
        expected = draw(), draw()
    with reproducible(1, "cpu"):
        first = draw()
        with reproducible(2, "cpu"):
            draw()
        second = draw()
    assert (first, second) == expected


def test_deterministic_kernels_are_required_only_inside() -> None:
    with pytest.raises(KeyError), reproducible(1, "cpu"):
        assert torch.are_deterministic_algorithms_enabled()
        assert not DETERMINISTIC.fill_uninitialized_memory
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert DETERMINISTIC.fill_uninitialized_memory


def test_cuda_without_the_cublas_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with pytest.raises(SettingsError, match="CUBLAS_WORKSPACE_CONFIG is not set"), reproducible(1, "cuda"):
        pass


def test_auto_is_a_usable_device() -> None:
    assert torch.empty(0, device=resolve_device("auto")).numel() == 0


def test_a_named_device_is_returned() -> None:
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:99", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        resolve_device(name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_throughput_is_plausible(precision: str) -> None:
    # No core does less than 10 MFLOP/s or more than 10 TFLOP/s.
    threads = torch.get_num_threads()
    assert 0.01 < matmul_gflops("cpu", precision, size=128, runs=2) < 10_000
    assert 0.01 < core_gflops(precision, size=128, runs=2) < 10_000
    assert torch.get_num_threads() == threads


def test_tf32_is_disabled_only_inside() -> None:
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), full_float32():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.enabled
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 is before
