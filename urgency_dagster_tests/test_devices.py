import random

import numpy as np
import pytest
import torch

from urgency_dagster.devices import full_float32, matmul_gflops, reproducible, resolve_device
from urgency_dagster.errors import SettingsError


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_the_same_seed_draws_the_same():
    with reproducible(7, "cpu"):
        first = draw()
    with reproducible(7, "cpu"):
        second = draw()
    with reproducible(8, "cpu"):
        third = draw()
    assert first == second
    assert all(a != b for a, b in zip(first, third, strict=True))


def test_the_callers_generators_go_on_as_if_nothing_happened():
    with reproducible(1, "cpu"):
        expected = draw(), draw()
    with reproducible(1, "cpu"):
        first = draw()
        with reproducible(2, "cpu"):
            draw()
        second = draw()
    assert (first, second) == expected


def test_deterministic_kernels_are_asked_for_inside_only():
    with pytest.raises(KeyError), reproducible(1, "cpu"):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_cuda_without_a_repeatable_cublas_is_refused(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with pytest.raises(SettingsError, match="CUBLAS_WORKSPACE_CONFIG is not set"), reproducible(1, "cuda"):
        pass


def test_auto_finds_a_device_that_works():
    assert torch.empty(0, device=resolve_device("auto")).numel() == 0


def test_a_named_device_is_kept():
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:99", ""])
def test_an_impossible_device_is_refused(name):
    with pytest.raises(SettingsError, match="cannot be used"):
        resolve_device(name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_have_a_rate_of_arithmetic(precision):
    # No core does less than 10 MFLOP/s or more than 10 TFLOP/s.
    assert 0.01 < matmul_gflops("cpu", precision, size=128, runs=2) < 10_000


def test_float32_is_not_rounded_inside_only():
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), full_float32():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.enabled
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 is before
