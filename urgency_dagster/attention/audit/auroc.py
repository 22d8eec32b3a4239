"""The area under the ROC curve of many columns at once: over all rows, and within participants, with its interval.

Source: Mann and Whitney, Annals of Mathematical Statistics 18 (1947): the area is the share of pairs of a positive and
a negative row that a column puts in order, a tie counting half.
"""

from dataclasses import dataclass

import numpy as np

PERCENTILES = (0.5, 99.5)
"""Ends of an interval. Several models are asked at once, so that one wrong alarm in a hundred is enough."""

RESAMPLES = 2000
"""Bootstrap samples of the participants."""


@dataclass(frozen=True)
class OrderedPairs:
    """How many pairs of rows of one participant a column puts in order.

    Attributes:
        ordered: (G, P) float64, of each participant and column; ties count half.
        pairs: (G,) float64, all pairs of a positive and a negative row of each participant.
    """

    ordered: np.ndarray
    pairs: np.ndarray

    @property
    def auroc(self) -> np.ndarray:
        """(P,) over all participants; NaN when nobody has both labels."""
        total = self.pairs.sum()
        return self.ordered.sum(axis=0) / total if total else np.full(self.ordered.shape[1], np.nan)

    def resampled(self, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
        """(resamples, P): the area in bootstrap samples of the participants; NaN where nobody has both labels.

        Rows of one participant are alike, so that drawing rows would make intervals too narrow.
        """
        G = len(self.pairs)
        drawn = np.random.default_rng(seed).multinomial(G, np.full(G, 1 / G), size=resamples).astype(np.float64)
        total = drawn @ self.pairs
        return (drawn @ self.ordered) / np.where(total > 0, total, np.nan)[:, None]


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """The ends of the interval of one (resamples,) score.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3 (percentile interval).
    """
    low, high = np.nanpercentile(resampled, PERCENTILES)
    return float(low), float(high)


def overall_auroc(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P,) the area of each column over all rows.

    Args:
        X: (N, P) numbers.
        y: (N,) 0 or 1, both present.
    """
    positives = int(y.sum())
    return _ordered(X, y) / (positives * (len(y) - positives))


def within_participants(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> OrderedPairs:
    """The pairs of rows of the same participant, whatever differs between participants.

    Args:
        X: (N, P) numbers.
        y: (N,) 0 or 1.
        groups: (N,) the participant of each row.
    """
    members = [np.flatnonzero(groups == participant) for participant in np.unique(groups)]
    positives = np.array([y[rows].sum() for rows in members], dtype=np.float64)
    sizes = np.array([len(rows) for rows in members], dtype=np.float64)
    return OrderedPairs(np.stack([_ordered(X[rows], y[rows]) for rows in members]), positives * (sizes - positives))


def _ordered(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P,) the number of pairs that each column orders; ties count half."""
    from scipy.stats import rankdata

    positives = int(y.sum())
    return rankdata(X, axis=0)[y == 1].sum(axis=0) - positives * (positives + 1) / 2
