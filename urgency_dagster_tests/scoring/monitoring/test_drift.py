import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from urgency_dagster.scoring.monitoring.drift import (
    MIN_CALLS,
    PERMUTATIONS,
    auroc,
    measure_drift,
    permutation_threshold,
    principal_components,
)

WIDTH = 64


def call_vectors(seed: int, count: int, shift: float = 0.0) -> NDArray[np.float32]:
    """Vectors of calls: some directions that calls differ in, far from 0, and noise."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(8, WIDTH))
    calls = rng.normal(size=(count, 8)) @ directions + 0.3 * rng.normal(size=(count, WIDTH)) + 5
    shifted: NDArray[np.float32] = (calls + shift * directions[0]).astype(np.float32)
    return shifted


class TestDrift:
    @pytest.mark.parametrize("seed", range(4))
    def test_calls_of_the_same_distribution_do_not_warn(self, seed: int) -> None:
        assert not measure_drift(call_vectors(2 * seed, 60), call_vectors(2 * seed + 1, 30)).drifted

    @pytest.mark.parametrize("seed", range(2))
    def test_a_shift_warns(self, seed: int) -> None:
        drift = measure_drift(call_vectors(2 * seed, 60), call_vectors(2 * seed + 1, 30, shift=2))
        assert drift.drifted
        assert drift.interval is not None
        assert 0.5 < drift.interval[0] <= drift.auroc <= drift.interval[1] <= 1
        assert (drift.training_calls, drift.calls) == (60, 30)

    def test_it_is_deterministic(self) -> None:
        sides = call_vectors(0, 30), call_vectors(1, 30)
        assert dataclasses.asdict(measure_drift(*sides)) == dataclasses.asdict(measure_drift(*sides))

    def test_equal_vectors_are_chance(self) -> None:
        same = np.ones((MIN_CALLS, WIDTH), np.float32)
        drift = measure_drift(same, same)
        assert (drift.auroc, drift.threshold, drift.drifted) == (0.5, 0.5, False)

    def test_the_smallest_sides_are_measured(self) -> None:
        assert measure_drift(call_vectors(0, MIN_CALLS), call_vectors(1, MIN_CALLS, shift=4)).drifted


class TestThreshold:
    @given(st.lists(st.integers(0, 20), min_size=PERMUTATIONS + 1, max_size=PERMUTATIONS + 1), st.sampled_from([1, 5]))
    def test_at_most_the_error_rate_of_exchangeable_values_exceeds_it(self, values: list[int], percent: int) -> None:
        """Each of 100 exchangeable values is the observed one in turn: the rest gives its threshold."""
        array = np.array(values, np.float64)
        warned = [array[i] > permutation_threshold(np.delete(array, i), percent / 100) for i in range(len(array))]
        assert sum(warned) <= percent

    def test_distinct_values_use_the_error_rate_wholly(self) -> None:
        array = np.arange(PERMUTATIONS + 1, dtype=np.float64)
        warned = [array[i] > permutation_threshold(np.delete(array, i), 0.01) for i in range(len(array))]
        assert sum(warned) == 1


def test_auroc_counts_ties_half() -> None:
    sides = np.array([False, False, True, True])
    assert auroc(np.array([0.0, 1.0, 1.0, 2.0]), sides) == pytest.approx(3.5 / 4)


def test_few_calls_have_few_components() -> None:
    assert principal_components(call_vectors(0, 40)).shape == (40, 10)
