"""Computes the scores of a fold, and the tables of predictions, scores and importances.

Source: scikit-learn's definitions; the selection follows the K-EmoPhone supplementary code.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention import tables
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import THRESHOLD, Fold, FoldOutcome
from urgency_dagster.statistics.calibration import bin_indices

RELIABILITY_BINS = 10
"""Bins of probability. With the data set's 2,619 rows, each usual bin holds dozens of rows."""


def scores(y: np.ndarray, predicted: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """The ATTENTION_SCORES of some rows. A score that needs both classes is NaN if the rows have one class.

    Args:
        y: (N,) 0 or 1.
        predicted: (N,) 0 or 1.
        probability: (N,) probability of class 1.
    """
    from sklearn import metrics

    if len(np.unique(y)) < 2:
        return _scores_of_one_class(y, predicted, probability)
    f1_0, f1_1 = metrics.f1_score(y, predicted, average=None, labels=[0, 1], zero_division=0)
    values = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "f1_macro": (f1_0 + f1_1) / 2,
        "f1_0": f1_0,
        "f1_1": f1_1,
        "roc_auc": metrics.roc_auc_score(y, probability),
        "pr_auc": metrics.average_precision_score(y, probability),
        "mcc": metrics.matthews_corrcoef(y, predicted),
        "brier": metrics.brier_score_loss(y, probability),
        "log_loss": metrics.log_loss(y, probability, labels=[0, 1]),
    }
    return {name: float(values[name]) for name in tables.ATTENTION_SCORES}


def _scores_of_one_class(y: np.ndarray, predicted: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """The scores that rows of one class have; the other scores are NaN."""
    from sklearn import metrics

    present = int(y[0])
    values = {
        "accuracy": metrics.accuracy_score(y, predicted),
        f"f1_{present}": metrics.f1_score(y, predicted, pos_label=present, zero_division=0),
        "brier": metrics.brier_score_loss(y, probability, labels=[0, 1]),
        "log_loss": metrics.log_loss(y, probability, labels=[0, 1]),
    }
    return {name: float(values.get(name, np.nan)) for name in tables.ATTENTION_SCORES}


def prediction_table(data: AttentionData, folds: Sequence[Fold], outcomes: Sequence[FoldOutcome]) -> pd.DataFrame:
    """The ATTENTION_PREDICTIONS rows of one model, in the order of X; `outcomes` are in the order of `folds`."""
    rows = np.concatenate([fold.test for fold in folds])
    probability = np.concatenate([outcome.probability for outcome in outcomes])
    table = pd.DataFrame(
        {
            "row": rows,
            "fold": np.repeat([fold.number for fold in folds], [len(fold.test) for fold in folds]),
            "participant": data.groups[rows],
            "y": data.y[rows],
            "predicted": _predicted(probability),
            "probability": probability,
        }
    )
    return table.sort_values("row", ignore_index=True)


def fold_table(data: AttentionData, folds: Sequence[Fold], outcomes: Sequence[FoldOutcome]) -> pd.DataFrame:
    """The ATTENTION_FOLDS rows of one model; `outcomes` are in the order of `folds`."""
    return pd.DataFrame([_fold_row(data, fold, outcome) for fold, outcome in zip(folds, outcomes, strict=True)])


def _fold_row(data: AttentionData, fold: Fold, outcome: FoldOutcome) -> dict[str, float]:
    y, train_y = data.y[fold.test], data.y[fold.train]
    train = scores(train_y, _predicted(outcome.train_probability), outcome.train_probability)
    return {
        "fold": fold.number,
        "n": len(y),
        "n_positive": int(y.sum()),
        "n_participants": len(np.unique(data.groups[fold.test])),
        "n_features": len(outcome.features),
        **scores(y, _predicted(outcome.probability), outcome.probability),
        **{f"train_{name}": score for name, score in train.items()},
    }


def importance_table(outcomes: Sequence[FoldOutcome]) -> pd.DataFrame:
    """The ATTENTION_IMPORTANCES rows of one model, the most important first.

    The importance is the mean over folds; in a fold that did not select the feature it is 0.
    """
    parts = [pd.DataFrame({"feature": one.features, "importance": one.importances}) for one in outcomes]
    grouped = pd.concat(parts).groupby("feature")["importance"]
    table = pd.DataFrame({"importance": grouped.sum() / len(outcomes), "folds": grouped.size()}).reset_index()
    return table.sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)


def participant_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """The ATTENTION_PARTICIPANTS rows of one model: out-of-fold scores of each participant."""
    return pd.DataFrame([_participant_row(str(name), rows) for name, rows in predictions.groupby("participant")])


def _participant_row(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    y, predicted, probability = (rows[column].to_numpy() for column in ("y", "predicted", "probability"))
    both_classes = 0 < y.sum() < len(y)
    return {
        "participant": name,
        "n": len(rows),
        "n_positive": int(y.sum()),
        "majority_share": float(max(y.mean(), 1 - y.mean())),
        "accuracy": float((y == predicted).mean()),
        "f1_macro": _f1_macro(y, predicted) if both_classes else np.nan,
        "roc_auc": _roc_area(y, probability) if both_classes else np.nan,
    }


def _f1_macro(y: np.ndarray, predicted: np.ndarray) -> float:
    """The mean F1 score of the two classes, both of which some rows have."""
    sides = [(y == label, predicted == label) for label in (0, 1)]
    f1_0, f1_1 = (2 * (true & found).sum() / (true.sum() + found.sum()) for true, found in sides)
    return float((f1_0 + f1_1) / 2)


def _roc_area(y: np.ndarray, probability: np.ndarray) -> float:
    """The AUROC of rows of both classes, equal to scikit-learn's to the last bit.

    scikit-learn checks its arguments several times in each call, which takes longer than the areas of all participants.
    """
    order = np.argsort(-probability, kind="stable")
    last_of_equal = np.flatnonzero(np.append(np.diff(probability[order]), 1))
    true = np.cumsum(y[order], dtype=np.float64)[last_of_equal]
    false = 1 + last_of_equal - true
    # A point on the line between its neighbours would change how the sum is rounded.
    corners = np.ones(len(true), dtype=bool)
    corners[1:-1] = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
    true, false = (np.append(0.0, curve[corners]) for curve in (true, false))
    return float(np.trapezoid(true / true[-1], false / false[-1]))


def reliability_bins(predictions: pd.DataFrame, bins: int = RELIABILITY_BINS) -> list[dict[str, float]]:
    """Mean probability of class 1 and share of class 1, by bins of probability that are not empty.

    pandas sums with compensation, `statistics.calibration` does not: stored numbers differ in the last digit.

    Returns:
        For each bin: `n`, the mean `probability`, and the share of rows of class 1 (`positive`).
    """
    grouped = predictions.groupby(bin_indices(predictions["probability"].to_numpy(), bins))
    means = grouped[["probability", "y"]].mean()
    return [
        {"n": int(n), "probability": float(probability), "positive": float(positive)}
        for n, (probability, positive) in zip(grouped.size(), means.to_numpy(), strict=True)
    ]


def calibration_error(bins: Sequence[Mapping[str, float]]) -> float:
    """The expected calibration error: the mean distance of probability and share over all rows."""
    rows = sum(of_bin["n"] for of_bin in bins)
    return float(sum(of_bin["n"] * abs(of_bin["probability"] - of_bin["positive"]) for of_bin in bins) / rows)


def _predicted(probability: np.ndarray) -> np.ndarray:
    return (probability > THRESHOLD).astype(np.int64)
