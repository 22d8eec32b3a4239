from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention import tables
from urgency_dagster.attention.validation.metrics import (
    calibration_error,
    importance_table,
    participant_table,
    reliability_bins,
    scores,
)
from urgency_dagster.attention.validation.protocol import FoldOutcome


def test_scores_of_a_case_worked_by_hand() -> None:
    y = np.array([0, 0, 0, 1, 1])
    probability = np.array([0.1, 0.2, 0.8, 0.9, 0.4])
    found = scores(y, (probability > 0.5).astype(int), probability)
    assert tuple(found) == tables.ATTENTION_SCORES
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["f1_0"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert found["f1_1"] == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert found["f1_macro"] == pytest.approx((found["f1_0"] + found["f1_1"]) / 2)
    assert found["roc_auc"] == pytest.approx(5 / 6)
    assert found["brier"] == pytest.approx(np.mean((probability - y) ** 2))
    assert found["mcc"] == pytest.approx((1 * 2 - 1 * 1) / np.sqrt(2 * 2 * 3 * 3))
    assert found["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.8, 0.2, 0.9, 0.4])))


def test_one_predicted_class_is_no_warning_and_no_nan() -> None:
    found = scores(np.array([0, 1, 1]), np.ones(3, dtype=int), np.full(3, 0.6))
    assert (found["f1_0"], found["mcc"], found["roc_auc"]) == (0.0, 0.0, 0.5)
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_the_scores_that_exist_and_nan_for_the_others(label: Any) -> None:
    probability = np.array([0.2, 0.4, 0.9])
    found = scores(np.full(3, label), (probability > 0.5).astype(int), probability)
    assert tuple(found) == tables.ATTENTION_SCORES
    existing = {name: value for name, value in found.items() if not np.isnan(value)}
    right = [2 / 3, 1 / 3][label]
    errors = np.abs(probability - label)
    assert existing == pytest.approx(
        {
            "accuracy": right,
            f"f1_{label}": 2 * right / (right + 1),
            "brier": np.mean(errors**2),
            "log_loss": -np.mean(np.log(1 - errors)),
        }
    )


def outcome(fold: int, **importances: float) -> FoldOutcome:
    features, values = np.array(list(importances)), np.array(list(importances.values()))
    return FoldOutcome("rf", fold, np.empty(0), np.empty(0), features, values)


def test_an_unselected_feature_has_importance_0_in_the_fold() -> None:
    table = importance_table([outcome(1, b=0.5, a=0.5), outcome(2, a=0.2, c=0.8)])
    assert table.to_dict("list") == {"feature": ["c", "a", "b"], "importance": [0.4, 0.35, 0.25], "folds": [1, 2, 1]}


def test_features_of_equal_importance_are_in_the_order_of_their_names() -> None:
    assert importance_table([outcome(1, b=0.5, a=0.5)])["feature"].tolist() == ["a", "b"]


def test_each_participant_has_scores() -> None:
    predictions = pd.DataFrame(
        {
            "participant": ["B", "A", "A", "A", "B"],
            "y": [1, 0, 1, 1, 1],
            "predicted": [1, 0, 0, 1, 0],
            "probability": [0.9, 0.1, 0.4, 0.8, 0.2],
        }
    )
    first, second = participant_table(predictions).to_dict("records")
    assert (first["participant"], first["n"], first["n_positive"]) == ("A", 3, 2)
    assert (first["majority_share"], first["accuracy"], first["roc_auc"]) == pytest.approx((2 / 3, 2 / 3, 1))
    assert first["f1_macro"] == pytest.approx(2 / 3)
    assert (second["majority_share"], second["accuracy"], second["n_positive"]) == (1, 0.5, 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_scores_of_participants_equal_scikit_learns_to_the_last_bit(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = 400
    probability = random.random(rows).round(int(random.integers(1, 17)))
    predictions = pd.DataFrame(
        {
            "participant": random.integers(0, 60, rows).astype(str),  # some have one row, or one class
            "y": random.integers(0, 2, rows),
            "predicted": (probability > 0.5).astype(np.int64),
            "probability": probability,
        }
    )
    for row in participant_table(predictions).to_dict("records"):
        own = predictions[predictions["participant"] == row["participant"]]
        expected = scores(*(own[name].to_numpy() for name in ("y", "predicted", "probability")))
        found = [row[name] for name in ("accuracy", "f1_macro", "roc_auc")]
        np.testing.assert_array_equal(found, [expected[name] for name in ("accuracy", "f1_macro", "roc_auc")])


def test_probability_is_compared_with_the_share_of_class_1() -> None:
    predictions = pd.DataFrame({"probability": [0.05, 0.15, 0.15, 1.0], "y": [0, 0, 1, 1]})
    bins = reliability_bins(predictions, bins=10)
    assert [of_bin["n"] for of_bin in bins] == [1, 2, 1]
    assert bins[1] == {"n": 2, "probability": pytest.approx(0.15), "positive": 0.5}
    assert calibration_error(bins) == pytest.approx((0.05 + 2 * 0.35 + 0) / 4)
