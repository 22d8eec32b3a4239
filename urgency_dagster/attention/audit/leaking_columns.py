"""Columns that give the label away, are too good alone, or name the participant. Label history is in `history`.

A column is compared with the label as it stands, over all rows and within participants. The only thing that is fitted
to the labels is its direction, one bit, so that nothing is gained by keeping participants out.
"""

from collections.abc import Iterator, Set

import numpy as np
import pandas as pd

from urgency_dagster.attention.audit.auroc import overall_auroc, within_participants
from urgency_dagster.attention.audit.findings import Finding, Kind, Level
from urgency_dagster.attention.reading.column_names import parse_feature_name
from urgency_dagster.attention.reading.inventory import extremes
from urgency_dagster.attention.reading.pickles import AttentionData

PROOF_BITS = 40.0
"""How many bits of the labels a column must tell beyond those that say how to read it.

Forty leave one in 10^12 for chance; among the 3,356 columns of the real matrix, one in 10^8.
"""

STRONG_AUROC = 0.70
"""A single column above this, in either direction, is suspicious.

All columns together reach 0.55 to 0.60 in an honest model, and the best of 3,356 columns that say nothing but differ
between 47 participants whose base rates have a standard deviation of 0.21 comes to about 0.61 by chance.
"""

COLUMNS_AT_ONCE = 256
"""Bounds the memory of the ranks, which are float64, also for replicated data sets of 55,000 rows."""

PARTICIPANT_STREAM = "PIF"
"""Columns of this stream are meant to describe the participant."""


def column_findings(data: AttentionData, judged_elsewhere: Set[str] = frozenset()) -> list[Finding]:
    """What single columns give away.

    Args:
        data: the samples.
        judged_elsewhere: columns that may be strong for a reason that is examined elsewhere.
    """
    strengths: dict[str, float] = {}
    telling: list[str] = []
    constant: list[str] = []
    for names, X in _blocks(data.X):
        overall, pairs = overall_auroc(X, data.y), within_participants(X, data.y, data.groups)
        within = np.nan_to_num(pairs.auroc, nan=0.5)
        strengths |= dict(zip(names, 0.5 + np.maximum(abs(overall - 0.5), abs(within - 0.5)), strict=True))
        sorts = np.isin(overall, (0.0, 1.0)), np.isin(within, (0.0, 1.0))
        costs = _reading_bits(X, data, *sorts)
        telling += [name for name, cost in zip(names, costs, strict=True) if label_bits(data) - cost >= PROOF_BITS]
        constant += [name for name, same in zip(names, _identifying(X, data.groups), strict=True) if same]
    strong = {
        name: float(strength)
        for name, strength in strengths.items()
        if strength > STRONG_AUROC and name not in judged_elsewhere and name not in telling
    }
    return [*_telling(telling), *_strong(strong), *_identifiers(constant, data)]


def _blocks(X: pd.DataFrame) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and (N, at most COLUMNS_AT_ONCE) float32 of the columns, a part at a time."""
    for start in range(0, X.shape[1], COLUMNS_AT_ONCE):
        part = X.iloc[:, start : start + COLUMNS_AT_ONCE]
        yield part.columns.tolist(), part.to_numpy(dtype=np.float32)


def label_bits(data: AttentionData) -> float:
    """Bits that it takes to write the labels down for somebody who knows how many of each participant are positive."""
    from scipy.special import gammaln

    _, codes = np.unique(data.groups, return_inverse=True)
    n = np.bincount(codes)
    k = np.bincount(codes, weights=data.y)
    return float((gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)).sum() / np.log(2))


def _reading_bits(X: np.ndarray, data: AttentionData, sorts: np.ndarray, sorts_within: np.ndarray) -> np.ndarray:
    """(P,) bits of the shortest rule that reads the label off a column without any error; infinite without a rule.

    Three rules are tried: a label for each value; a threshold and a direction; a threshold for each participant and a
    direction. A rule that is as long as the labels themselves, as that of a column without equal values is, proves
    nothing.
    """
    threshold = np.where(sorts, np.log2(2 * (len(X) + 1)), np.inf)
    sizes = np.unique(data.groups, return_counts=True)[1]
    thresholds = np.where(sorts_within, 1 + np.log2(sizes + 1).sum(), np.inf)
    return np.minimum(np.minimum(_values_if_pure(X, data.y), threshold), thresholds)


def _values_if_pure(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P,) how many values a column takes if each of them comes with one label only; infinity otherwise."""
    order = np.argsort(X, axis=0)
    values, labels = np.take_along_axis(X, order, axis=0), y[order]
    same_value = values[1:] == values[:-1]
    mixed = (same_value & (labels[1:] != labels[:-1])).any(axis=0)
    return np.where(mixed, np.inf, 1.0 + (~same_value).sum(axis=0))


def _identifying(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(P,) whether a column is the same in all rows of every participant, and differs between some of them."""
    low, high = extremes(X, groups)
    if len(low) == len(X):
        # With one row each, every column would be one.
        return np.zeros(X.shape[1], dtype=bool)
    return (low == high).all(axis=0) & (low.min(axis=0) != low.max(axis=0))


def _telling(names: list[str]) -> Iterator[Finding]:
    if names:
        yield Finding.of_names(
            Level.CERTAIN, Kind.COLUMN_TELLS_LABEL, "The label can be read off these columns without any error.", names
        )


def _strong(strengths: dict[str, float]) -> Iterator[Finding]:
    if strengths:
        message = f"These columns alone order the labels with an AUROC above {STRONG_AUROC:.2f} (in either direction)."
        best = sorted(strengths, key=lambda name: (-strengths[name], name))[:10]
        figures = {name: strengths[name] for name in best}
        yield Finding.of_names(Level.SUSPICION, Kind.STRONG_COLUMN, message, list(strengths), figures)


def _identifiers(names: list[str], data: AttentionData) -> Iterator[Finding]:
    """Participant columns are meant to be constant, others are not; either way they say who somebody is."""
    meant = {name for name in names if (parts := parse_feature_name(name)) and parts.stream == PARTICIPANT_STREAM}
    for level, found, what in (
        (Level.SUSPICION, sorted(set(names) - meant), "Columns that are not about the participant"),
        (Level.NOTE, sorted(meant), "Columns about the participant"),
    ):
        if found:
            profiles = len(data.X[found].drop_duplicates())
            message = f"{what} never change within one, so that they tell participants apart."
            figures = {"different_profiles": profiles, "participants": data.participants}
            yield Finding.of_names(level, Kind.IDENTIFIER, message, found, figures)
