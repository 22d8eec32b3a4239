"""Scores of a fold, and tables of them. Nothing is fitted, read or written here.

Source: scikit-learn's definitions; the choice follows the K-EmoPhone supplementary code.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from urgency_dagster import tables
from urgency_dagster.attention.pickles import AttentionData
from urgency_dagster.attention.protocol import THRESHOLD, Fold, FoldOutcome


def scores(y: np.ndarray, predicted: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """The ATTENTION_SCORES of some rows; NaN for those that do not exist because the rows are of one class.

    Args:
        y: (N,) 0 or 1.
        predicted: (N,) 0 or 1.
        probability: (N,) of class 1.
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
    """What can be said of rows of one class; a mean over classes, a rank and the other class's F1 cannot."""
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
    """The out-of-fold rows of one model, in the order of X; `outcomes` are in the order of `folds`."""
    rows = np.concatenate([fold.test for fold in folds])
    probability = np.concatenate([outcome.probability for outcome in outcomes])
    table = pd.DataFrame(
        {
            "row": rows,
            "fold": np.repeat([fold.number for fold in folds], [len(fold.test) for fold in folds]),
            "participant": data.groups[rows],
            "y": data.y[rows],
            "predicted": (probability > THRESHOLD).astype(np.int64),
            "probability": probability,
        }
    )
    return table.sort_values("row", ignore_index=True)


def fold_table(predictions: pd.DataFrame, outcomes: Sequence[FoldOutcome]) -> pd.DataFrame:
    """The ATTENTION_FOLDS rows of one model."""
    n_features = {outcome.fold: outcome.n_features for outcome in outcomes}
    rows = []
    for number, fold in predictions.groupby("fold"):
        y = fold["y"].to_numpy()
        counts = {
            "fold": number,
            "n": len(fold),
            "n_positive": int(y.sum()),
            "n_participants": fold["participant"].nunique(),
            "n_features": n_features[int(str(number))],
        }
        rows.append({**counts, **scores(y, fold["predicted"].to_numpy(), fold["probability"].to_numpy())})
    return pd.DataFrame(rows)
