"""How sure scores are: what they come to when whole participants are drawn with replacement.

Rows of one participant resemble each other, so that drawing them singly would make intervals too narrow. The scores are
scikit-learn's, computed from weights: thousands of samples in the time that its functions need for dozens.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from urgency_dagster.attention import tables

RESAMPLES = 1000
"""Samples of the participants; the ends of a 95 % interval then lie 25 samples from the extremes."""

INTERVAL = (2.5, 97.5)
"""Percentiles of a 95 % interval. Source: Efron and Tibshirani (1993), section 13.3 (percentile interval)."""


def resampled_scores(predictions: pd.DataFrame, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """The ATTENTION_SCORES of all rows together, one row for each sample of the participants.

    Predictions of the same participants and the same seed draw the same ones, so that two models can be subtracted.

    Args:
        predictions: with the columns of ATTENTION_PREDICTIONS.
        seed: of the draws.
        resamples: how many.

    Returns:
        Float64; NaN where a sample holds one class and a score does not exist.
    """
    y, predicted, probability = (predictions[name].to_numpy() for name in ("y", "predicted", "probability"))
    draws = _draws(predictions["participant"].to_numpy(), seed, resamples)
    return pd.DataFrame([weighted_scores(y, predicted, probability, weights) for weights in draws])


def intervals(samples: pd.DataFrame) -> dict[str, list[float] | None]:
    """The 95 % interval of each column, over the samples that have a value; None without any."""
    found: dict[str, list[float] | None] = {}
    for name, values in samples.items():
        known = values.dropna()
        found[str(name)] = np.percentile(known, INTERVAL).tolist() if len(known) else None
    return found


def weighted_scores(
    y: np.ndarray, predicted: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    """The ATTENTION_SCORES of rows that count several times, or not at all.

    Args:
        y: (N,) 0 or 1.
        predicted: (N,) 0 or 1.
        probability: (N,) of class 1.
        weights: (N,) how often each row counts.
    """
    tn, fp, fn, tp = (float(weights[(y == true) & (predicted == said)].sum()) for true in (0, 1) for said in (0, 1))
    total, positive = tn + fp + fn + tp, fn + tp
    f1_0, f1_1 = _ratio(2 * tn, 2 * tn + fp + fn), _ratio(2 * tp, 2 * tp + fp + fn)
    both = 0 < positive < total
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    roc_auc, pr_auc = _areas(y, probability, weights) if both else (np.nan, np.nan)
    certainty = np.clip(np.where(y == 1, probability, 1 - probability), np.finfo(np.float64).eps, 1)
    values = {
        "accuracy": (tn + tp) / total,
        "balanced_accuracy": (tn / (tn + fp) + tp / positive) / 2 if both else np.nan,
        "f1_macro": (f1_0 + f1_1) / 2,
        "f1_0": f1_0,
        "f1_1": f1_1,
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        "mcc": _ratio(tp * tn - fp * fn, spread),
        "brier": np.average((probability - y) ** 2, weights=weights),
        "log_loss": np.average(-np.log(certainty), weights=weights),
    }
    return {name: float(values[name]) for name in tables.ATTENTION_SCORES}


def _draws(participants: np.ndarray, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each row counts in each sample, (N,)."""
    names, codes = np.unique(participants, return_inverse=True)
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[codes]


def _areas(y: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve, and the average precision.

    Source: scikit-learn's definitions; rows of equal probability are one step of both curves.
    """
    values, codes = np.unique(-probability, return_inverse=True)  # the surest first
    positive = np.bincount(codes, weights * y, minlength=len(values))
    negative = np.bincount(codes, weights * (1 - y), minlength=len(values))
    true, false = positive.cumsum(), negative.cumsum()
    below = false[-1] - false + negative / 2
    precision = true / np.maximum(true + false, 1e-300)
    return float(positive @ below / (true[-1] * false[-1])), float(positive @ precision / true[-1])


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
