"""Scores on bootstrap samples of whole participants, and their intervals.

The scores are scikit-learn's, computed from row weights: fast enough for thousands of samples.
"""

import numpy as np
import pandas as pd

from urgency_dagster.attention import tables
from urgency_dagster.statistics.bootstrap import RESAMPLES, BootstrapConfig, group_weights
from urgency_dagster.statistics.intervals import percentile_interval


def bootstrap_scores(predictions: pd.DataFrame, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """The ATTENTION_SCORES of all rows together, one row for each bootstrap sample of the participants.

    The same participants and the same seed give the same samples, so the scores of two models can be subtracted.

    Args:
        predictions: a table with the columns of ATTENTION_PREDICTIONS.
        seed: seed of the bootstrap.
        resamples: number of bootstrap samples.

    Returns:
        Float64, (resamples, scores); NaN where a sample holds only one class and the score needs both.
    """
    y, predicted, probability = (predictions[name].to_numpy() for name in ("y", "predicted", "probability"))
    names, codes = np.unique(predictions["participant"].to_numpy(), return_inverse=True)
    samples = group_weights(len(names), BootstrapConfig(resamples, seed))
    return pd.DataFrame([weighted_scores(y, predicted, probability, weights[codes]) for weights in samples])


def intervals(samples: pd.DataFrame) -> dict[str, list[float] | None]:
    """The 95 % interval of each column over its defined values; None if no value is defined."""
    bounds = {str(name): percentile_interval(values, max_undefined=1) for name, values in samples.items()}
    return {name: list(interval) if interval else None for name, interval in bounds.items()}


def weighted_scores(
    y: np.ndarray, predicted: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    """The ATTENTION_SCORES of weighted rows; NaN for a score that needs both classes if there is one class.

    Args:
        y: (N,) 0 or 1.
        predicted: (N,) 0 or 1.
        probability: (N,) probability of class 1.
        weights: (N,) how often each row is counted, 0 or more.
    """
    tn, fp, fn, tp = (float(weights[(y == true) & (predicted == label)].sum()) for true in (0, 1) for label in (0, 1))
    total, positive = tn + fp + fn + tp, fn + tp
    f1_0, f1_1 = _ratio(2 * tn, 2 * tn + fp + fn), _ratio(2 * tp, 2 * tp + fp + fn)
    both = 0 < positive < total
    mcc_scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    roc_auc, pr_auc = _areas(y, probability, weights) if both else (np.nan, np.nan)
    likelihood = np.clip(np.where(y == 1, probability, 1 - probability), np.finfo(np.float64).eps, 1)
    values = {
        "accuracy": (tn + tp) / total,
        "balanced_accuracy": (tn / (tn + fp) + tp / positive) / 2 if both else np.nan,
        "f1_macro": (f1_0 + f1_1) / 2,
        "f1_0": f1_0,
        "f1_1": f1_1,
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        "mcc": _ratio(tp * tn - fp * fn, mcc_scale),
        "brier": np.average((probability - y) ** 2, weights=weights),
        "log_loss": np.average(-np.log(likelihood), weights=weights),
    }
    return {name: float(values[name]) for name in tables.ATTENTION_SCORES}


def _areas(y: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The AUROC and the average precision.

    Source: scikit-learn's definitions; rows of equal probability are one step of both curves.
    """
    values, codes = np.unique(-probability, return_inverse=True)  # highest probability first
    positive = np.bincount(codes, weights * y, minlength=len(values))
    negative = np.bincount(codes, weights * (1 - y), minlength=len(values))
    true, false = positive.cumsum(), negative.cumsum()
    below = false[-1] - false + negative / 2
    precision = true / np.maximum(true + false, 1e-300)
    return float(positive @ below / (true[-1] * false[-1])), float(positive @ precision / true[-1])


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
