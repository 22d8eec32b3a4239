import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.attention import tables
from urgency_dagster.attention.validation.bootstrap import bootstrap_scores, intervals, weighted_scores
from urgency_dagster.attention.validation.metrics import scores


def drawn(rows: int, participants: int, skill: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Predictions that know a little; rows of a participant are rather right or rather wrong together."""
    rng = np.random.default_rng(seed)
    names = np.array([f"P{n:02d}" for n in np.arange(rows) % participants])
    luck = rng.normal(0, 1, participants)[np.arange(rows) % participants]
    y = rng.integers(0, 2, rows)
    probability = 1 / (1 + np.exp(-(skill * (2 * y - 1) * (0.5 + luck) + rng.normal(0, 1, rows))))
    return pd.DataFrame(
        {"participant": names, "y": y, "predicted": (probability > 0.5).astype(int), "probability": probability}
    )


@given(rows=st.integers(4, 60), seed=st.integers(0, 500), levels=st.integers(1, 5))
def test_weights_are_repeated_rows(rows: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.concatenate([[0, 1], rng.integers(0, 2, rows - 2)])
    probability = rng.integers(0, levels + 1, rows) / levels
    weights = np.concatenate([[1, 2], rng.integers(0, 4, rows - 2)])
    predicted = (probability > 0.5).astype(int)
    repeated = [np.repeat(values, weights) for values in (y, predicted, probability)]
    assert weighted_scores(y, predicted, probability, weights) == pytest.approx(scores(*repeated), abs=1e-12)


def test_a_score_undefined_for_one_class_is_nan() -> None:
    found = weighted_scores(np.array([1, 0]), np.array([1, 1]), np.array([0.9, 0.8]), np.array([2, 0]))
    assert {name for name, value in found.items() if np.isnan(value)} == {"balanced_accuracy", "roc_auc", "pr_auc"}
    assert found["accuracy"] == 1


def test_the_interval_holds_the_score_of_all_rows() -> None:
    predictions = drawn(400, 20)
    found = intervals(bootstrap_scores(predictions, seed=1))
    pooled = scores(*(predictions[name].to_numpy() for name in ("y", "predicted", "probability")))
    assert tuple(found) == tables.ATTENTION_SCORES
    for name, interval in found.items():
        low, high = interval or (1, 0)
        assert low < pooled[name] < high, name


def test_the_seed_decides_and_the_order_of_the_rows_does_not() -> None:
    predictions = drawn(200, 10)
    first = bootstrap_scores(predictions, seed=1, resamples=50)
    turned = bootstrap_scores(predictions.sample(frac=1, random_state=3), seed=1, resamples=50)
    pd.testing.assert_frame_equal(first, turned)
    assert not first.equals(bootstrap_scores(predictions, seed=2, resamples=50))


def test_the_bootstrap_draws_participants_not_rows() -> None:
    """Copies of every row add nothing; the same rows of many participants do."""
    few = drawn(200, 8, seed=4)
    copied = pd.concat([few] * 5)
    many = few.assign(participant=[f"Q{n}" for n in range(len(few))])
    width = {
        name: np.ptp(intervals(bootstrap_scores(table, seed=1))["f1_macro"] or [])
        for name, table in (("few", few), ("copied", copied), ("many", many))
    }
    assert width["copied"] == pytest.approx(width["few"])
    assert width["many"] < width["few"]


def test_samples_without_a_score_are_left_out() -> None:
    samples = pd.DataFrame({"known": [0.4, 0.6, np.nan], "unknown": [np.nan] * 3})
    found = intervals(samples)
    assert found["known"] == pytest.approx([0.405, 0.595])
    assert found["unknown"] is None
