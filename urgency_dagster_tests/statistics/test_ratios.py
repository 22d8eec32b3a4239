import numpy as np
import pytest

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.ratios import ratio_with_interval

BOOTSTRAP = BootstrapConfig(resamples=200)


def test_it_is_the_ratio_of_the_sums() -> None:
    ratio = ratio_with_interval("rate", np.array([1, 5, 0]), np.array([10, 10, 40]), BOOTSTRAP)
    assert ratio["rate"] == pytest.approx(0.1)
    low, high = ratio["rate_interval"]
    assert 0 <= low < 0.1 < high <= 0.5


def test_an_equal_ratio_in_every_group_has_an_interval_without_width() -> None:
    assert ratio_with_interval("rate", np.array([1, 2]), np.array([4, 8]), BOOTSTRAP) == {
        "rate": 0.25,
        "rate_interval": [0.25, 0.25],
    }


def test_nothing_of_nothing_is_not_defined() -> None:
    nothing = np.zeros(3, np.int64)
    assert ratio_with_interval("rate", nothing, nothing, BOOTSTRAP) == {"rate": None, "rate_interval": None}
