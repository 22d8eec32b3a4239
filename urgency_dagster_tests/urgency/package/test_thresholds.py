from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.urgency.package.thresholds import (
    ThresholdFit,
    evaluate_thresholds,
    fit_thresholds,
    offered_thresholds,
    threshold_text,
)

HIGH = 2


def drawn(calls: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of calls, and classes drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet((0.5, 0.5, 0.5), calls)
    return probabilities, np.array([rng.choice(3, p=row) for row in probabilities])


def fit(
    probabilities: np.ndarray, true: np.ndarray, deferral_rate: float = 0.1, alarm_recall: float = 0.9
) -> dict[str, float]:
    return offered_thresholds(fits_of(probabilities, true, deferral_rate, alarm_recall))


def fits_of(
    probabilities: np.ndarray,
    true: np.ndarray,
    deferral_rate: float = 0.1,
    alarm_recall: float = 0.9,
    min_calls: int = 1,
) -> dict[str, ThresholdFit]:
    return fit_thresholds(
        probabilities, true, high=HIGH, deferral_rate=deferral_rate, alarm_recall=alarm_recall, min_calls=min_calls
    )


def effects_of(
    probabilities: np.ndarray, true: np.ndarray, thresholds: dict[str, float], resamples: int = 5
) -> dict[str, dict[str, Any]]:
    return evaluate_thresholds(
        probabilities, true, high=HIGH, thresholds=thresholds, bootstrap=BootstrapConfig(resamples, 0)
    )


@given(calls=st.integers(1, 200), seed=st.integers(0, 50), share=st.floats(0, 0.99), recall=st.floats(0.01, 0.99))
def test_both_thresholds_hold_on_the_calls_of_their_fit(calls: int, seed: int, share: float, recall: float) -> None:
    probabilities, true = drawn(calls, seed)
    thresholds = fit(probabilities, true, share, recall)
    effects = effects_of(probabilities, true, thresholds)
    assert effects["answer_from"]["to_person"] <= share + 1e-9
    assert effects["answer_from"]["to_person"] > share - 1 / calls - 1e-9
    if (true == HIGH).any():
        assert effects["alarm_from"]["recall_high"] >= recall - 1e-9
    else:
        assert "alarm_from" not in thresholds


def test_both_thresholds_hold_about_as_well_on_other_calls() -> None:
    thresholds = fit(*drawn(4000))
    effects = effects_of(*drawn(4000, seed=1), thresholds)
    assert effects["answer_from"]["to_person"] == pytest.approx(0.1, abs=0.03)
    assert effects["alarm_from"]["recall_high"] == pytest.approx(0.9, abs=0.03)
    assert {name: of_name["threshold"] for name, of_name in effects.items()} == thresholds


def test_the_figures_are_those_of_the_calls_beyond_the_threshold() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.5, 0.1, 0.4], [0.1, 0.2, 0.7], [0.2, 0.6, 0.2]])
    true = np.array([0, 2, 2, 2])
    effects = effects_of(probabilities, true, {"answer_from": 0.6, "alarm_from": 0.3})
    figures = {name: figure for of_name in effects.values() for name, figure in of_name.items() if "_int" not in name}
    assert figures == {"threshold": 0.3, "to_person": 0.25, "accuracy": 2 / 3, "recall_high": 2 / 3, "false_alarms": 0}
    assert effects["answer_from"]["threshold"] == 0.6


def test_each_share_has_an_interval_over_calls_that_narrows_with_their_number() -> None:
    thresholds = {"answer_from": 0.6, "alarm_from": 0.3}
    few, many = (effects_of(*drawn(calls), thresholds, resamples=500) for calls in (60, 6000))
    for threshold, name in (
        *(("answer_from", name) for name in ("to_person", "accuracy")),
        *(("alarm_from", name) for name in ("recall_high", "false_alarms")),
    ):
        (wide_low, wide_high), (low, high) = (effects[threshold][f"{name}_interval"] for effects in (few, many))
        assert wide_low < few[threshold][name] < wide_high
        assert low < many[threshold][name] < high
        assert (wide_high - wide_low) / (high - low) == pytest.approx(10, rel=0.4)


def test_a_share_of_no_calls_is_none() -> None:
    probabilities = np.array([[0.2, 0.2, 0.6]])
    effects = effects_of(probabilities, np.array([2]), {"answer_from": 0.9, "alarm_from": 0.5})
    assert effects["answer_from"]["accuracy"] is None
    assert effects["alarm_from"]["false_alarms"] is None


def test_without_calls_there_are_no_thresholds() -> None:
    assert fit(np.empty((0, 3)), np.empty(0, np.int64)) == {}
    assert effects_of(*drawn(5), {}) == {}


@pytest.mark.parametrize("calls", [3, 30])
def test_the_interval_holds_the_share_of_other_calls_as_often_as_it_says(calls: int) -> None:
    """Of 2,000 thresholds from as many samples, about 95 % have their true share inside."""
    rng = np.random.default_rng(0)
    inside = []
    for values in rng.random((2000, calls)):
        probabilities = np.column_stack([np.zeros(calls), 1 - values, values])
        alarm = fits_of(probabilities, np.full(calls, HIGH), alarm_recall=0.95)["alarm_from"]
        low, high = alarm.interval
        inside.append(low <= 1 - alarm.threshold <= high)  # uniform values: their share at or above t is 1 - t
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_an_alarm_from_three_calls_may_miss_two_thirds_of_them() -> None:
    """The lowest of three: the share at or above it has the distribution of Beta(3, 1), whose quantile is q^(1/3)."""
    probabilities, _ = drawn(3)
    low, high = fits_of(probabilities, np.full(3, HIGH))["alarm_from"].interval
    assert (low, high) == pytest.approx((0.025 ** (1 / 3), 0.975 ** (1 / 3)))


@pytest.mark.parametrize(("of_high", "alarm"), [(19, False), (20, True)])
def test_a_threshold_from_too_few_calls_is_not_offered(of_high: int, *, alarm: bool) -> None:
    probabilities, _ = drawn(40)
    true = np.where(np.arange(40) < of_high, HIGH, 0)
    fits = fits_of(probabilities, true, min_calls=20)
    assert (fits["alarm_from"].calls, fits["answer_from"].calls) == (of_high, 40)
    assert ("alarm_from" in offered_thresholds(fits)) == alarm
    assert "answer_from" in offered_thresholds(fits)


def test_the_text_says_what_a_threshold_stands_on() -> None:
    probabilities, _ = drawn(3)
    few = {name: asdict(fit) for name, fit in fits_of(probabilities, np.full(3, HIGH), min_calls=20).items()}
    text = threshold_text("alarm_from", few, 20)
    assert text.startswith(
        "not offered: the development side has only 3 calls of 상 (high), and at least 20 are needed"
    )
    assert "raises an alarm for 29.2% to 99.2% of them (95 % interval)" in text
    enough = {name: asdict(fit) for name, fit in fits_of(probabilities, np.full(3, HIGH)).items()}
    assert threshold_text("alarm_from", enough, 1).startswith(f"{enough['alarm_from']['threshold']:.3f}, fitted on 3")
    assert threshold_text("alarm_from", {}, 1) == "not offered: the development side has no calls of 상 (high)"
