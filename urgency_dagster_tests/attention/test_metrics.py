import numpy as np
import pytest

from urgency_dagster import tables
from urgency_dagster.attention.metrics import scores


def test_scores_of_a_case_worked_by_hand():
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


def test_one_predicted_class_is_no_warning_and_no_nan():
    found = scores(np.array([0, 1, 1]), np.ones(3, dtype=int), np.full(3, 0.6))
    assert (found["f1_0"], found["mcc"], found["roc_auc"]) == (0.0, 0.0, 0.5)
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_the_scores_that_exist_and_nan_for_the_others(label):
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
