import numpy as np
import pytest

from urgency_dagster.statistics.intervals import percentile_interval


def test_an_interval_needs_a_score_in_nearly_every_sample() -> None:
    assert percentile_interval([]) is None
    assert percentile_interval([None, None]) is None
    assert percentile_interval([*[None] * 2, *[0.5] * 198]) is None
    assert percentile_interval([None, *[0.5] * 199]) == (0.5, 0.5)


def test_a_score_that_is_not_a_number_is_undefined() -> None:
    assert percentile_interval([float("nan"), 0.5]) is None
    assert percentile_interval([float("nan"), 0.5], max_undefined=1) == (0.5, 0.5)
    assert percentile_interval([float("nan")] * 2, max_undefined=1) is None


def test_the_bounds_are_percentiles_of_the_defined_values() -> None:
    values = np.random.default_rng(0).normal(size=500)
    assert percentile_interval(values) == tuple(np.percentile(values, [2.5, 97.5]))
    assert percentile_interval(values, percentiles=(0.5, 99.5)) == tuple(np.percentile(values, [0.5, 99.5]))
    with_gaps = [*values.tolist(), None, None]
    assert percentile_interval(with_gaps) == pytest.approx(np.percentile(values, [2.5, 97.5]))
