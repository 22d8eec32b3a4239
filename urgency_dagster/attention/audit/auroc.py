"""The AUROC of many columns at once: over all rows, and within participants with a bootstrap interval.

Source: Mann and Whitney, Annals of Mathematical Statistics 18 (1947). The AUROC is the share of (positive, negative)
pairs of rows that a column orders correctly; a tie counts half.
"""

from dataclasses import dataclass

import numpy as np

from urgency_dagster.statistics.intervals import percentile_interval

PERCENTILES = (0.5, 99.5)
"""Percentiles of a 99 % interval. Several models are tested at once, so 95 % would give too many false alarms."""

RESAMPLES = 2000
"""Bootstrap samples of the participants."""


@dataclass(frozen=True)
class OrderedPairs:
    """Pairs of rows of the same participant, and how many of them each column orders correctly.

    Attributes:
        ordered: (G, P) float64, correctly ordered pairs of each participant and column; ties count half.
        pairs: (G,) float64, number of (positive, negative) pairs of each participant.
    """

    ordered: np.ndarray
    pairs: np.ndarray

    @property
    def auroc(self) -> np.ndarray:
        """(P,) AUROC over all participants; NaN if no participant has both labels."""
        total = self.pairs.sum()
        auroc: np.ndarray = self.ordered.sum(axis=0) / total if total else np.full(self.ordered.shape[1], np.nan)
        return auroc

    def resampled(self, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
        """(resamples, P) AUROC in bootstrap samples of the participants; NaN without a participant with both labels.

        Whole participants are drawn. Rows of one participant are similar, so drawing rows gives too narrow intervals.
        One multinomial draw for all samples makes this fast for thousands of columns.
        """
        G = len(self.pairs)
        counts = np.random.default_rng(seed).multinomial(G, np.full(G, 1 / G), size=resamples).astype(np.float64)
        total = counts @ self.pairs
        auroc: np.ndarray = (counts @ self.ordered) / np.where(total > 0, total, np.nan)[:, None]
        return auroc


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """The low and high end of the interval of one (resamples,) score; NaN if no value is defined."""
    bounds = percentile_interval(resampled.tolist(), percentiles=PERCENTILES, max_undefined=1)
    return bounds or (np.nan, np.nan)


def overall_auroc(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The (P,) AUROC of each column over all rows.

    Args:
        X: (N, P) numbers.
        y: (N,) 0 or 1; both occur.
    """
    positives = int(y.sum())
    return _ordered(X, y) / (positives * (len(y) - positives))


def within_participants(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> OrderedPairs:
    """The pairs of rows of the same participant. Differences between participants have no effect.

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
    """The (P,) number of pairs that each column orders correctly; ties count half."""
    from scipy.stats import rankdata

    positives = int(y.sum())
    rank_sums: np.ndarray = rankdata(X, axis=0)[y == 1].sum(axis=0)
    return rank_sums - positives * (positives + 1) / 2
