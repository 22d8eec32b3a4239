"""Finds single columns that reveal the label, are too good alone, or identify the participant.

Each column is compared with the label, over all rows and within participants. Only the direction of a column, one bit,
is fitted to the labels, so held-out participants are not needed. Label history columns are in `label_history`.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import numpy as np
import pandas as pd

from urgency_dagster.attention.audit.auroc import overall_auroc, within_participants
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.reading.column_names import parse_feature_name
from urgency_dagster.attention.reading.inventory import extremes
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import unit_numbers

MIN_SAVED_BITS = 40.0
"""A column leaks if it saves at least this many bits of the labels' description length, after paying for the rule.

By chance a column saves 40 bits with probability 10^-12, and one of 3,356 columns with probability below 10^-8.
"""

STRONG_AUROC = 0.70
"""A single column with an AUROC above this, in either direction, is suspicious.

All columns together reach 0.55 to 0.60 in an honest model. By chance, the best of 3,356 uninformative columns reaches
about 0.61, with 47 participants whose base rates have a standard deviation of 0.21.
"""

COLUMNS_PER_BLOCK = 256
"""Limits the memory of the float64 ranks, also for replicated data sets of 55,000 rows."""

PARTICIPANT_STREAM = "PIF"
"""The stream of columns about the participant."""


def column_findings(data: AttentionData, excluded: AbstractSet[str] = frozenset()) -> list[Finding]:
    """Findings about single columns.

    Args:
        data: the samples.
        excluded: columns that may be strong, because another check examines them.
    """
    strengths: dict[str, float] = {}
    leaking: list[str] = []
    constant: list[str] = []
    bits = label_bits(data)
    for names, X in _blocks(data.X):
        overall, pairs = overall_auroc(X, data.y), within_participants(X, data.y, data.groups)
        within = np.nan_to_num(pairs.auroc, nan=0.5)
        strengths |= dict(zip(names, 0.5 + np.maximum(abs(overall - 0.5), abs(within - 0.5)), strict=True))
        separates = np.isin(overall, (0.0, 1.0)), np.isin(within, (0.0, 1.0))
        costs = _rule_bits(X, data, *separates)
        leaking += [name for name, cost in zip(names, costs, strict=True) if bits - cost >= MIN_SAVED_BITS]
        constant += [name for name, same in zip(names, _identifying(X, data.groups), strict=True) if same]
    strong = {
        name: float(strength)
        for name, strength in strengths.items()
        if strength > STRONG_AUROC and name not in excluded and name not in leaking
    }
    return [*_leaking(leaking), *_strong(strong), *_identifiers(constant, data)]


def _blocks(X: pd.DataFrame) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and (N, at most COLUMNS_PER_BLOCK) float32 values of the columns, block by block."""
    for start in range(0, X.shape[1], COLUMNS_PER_BLOCK):
        block = X.iloc[:, start : start + COLUMNS_PER_BLOCK]
        yield block.columns.tolist(), block.to_numpy(dtype=np.float32)


def label_bits(data: AttentionData) -> float:
    """Description length of the labels in bits, if the number of positive labels of each participant is known.

    Independent units are counted, not rows: the label of a prompt is described once for all its copies.
    """
    from scipy.special import gammaln

    units = np.unique(unit_numbers(data), return_index=True)[1]
    _, codes = np.unique(data.groups[units], return_inverse=True)
    n = np.bincount(codes)
    k = np.bincount(codes, weights=data.y[units])
    return float((gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)).sum() / np.log(2))


def _rule_bits(X: np.ndarray, data: AttentionData, separates: np.ndarray, separates_within: np.ndarray) -> np.ndarray:
    """(P,) length in bits of the shortest rule that gives the label of every row; infinite without such a rule.

    Three rules are tried: one label per value; one threshold and a direction; one threshold per participant and a
    direction. A column of unique values always has a rule, but the rule is as long as the labels and saves nothing.
    """
    threshold = np.where(separates, np.log2(2 * (len(X) + 1)), np.inf)
    sizes = np.unique(data.groups, return_counts=True)[1]
    thresholds = np.where(separates_within, 1 + np.log2(sizes + 1).sum(), np.inf)
    bits: np.ndarray = np.minimum(np.minimum(_lookup_bits(X, data.y), threshold), thresholds)
    return bits


def _lookup_bits(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P,) number of different values if each value has one label only (one bit per value); infinity otherwise."""
    order = np.argsort(X, axis=0)
    values, labels = np.take_along_axis(X, order, axis=0), y[order]
    same_value = values[1:] == values[:-1]
    mixed = (same_value & (labels[1:] != labels[:-1])).any(axis=0)
    return np.where(mixed, np.inf, 1.0 + (~same_value).sum(axis=0))


def _identifying(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(P,) bool: whether a column has one value per participant, and at least two values in total."""
    low, high = extremes(X, groups)
    if len(low) == len(X):
        # With one row per participant, every column has one value per participant.
        return np.zeros(X.shape[1], dtype=bool)
    identifying: np.ndarray = (low == high).all(axis=0) & (low.min(axis=0) != low.max(axis=0))
    return identifying


def _leaking(names: list[str]) -> Iterator[Finding]:
    if names:
        yield Finding.of_names(
            Level.CERTAIN,
            FindingKind.COLUMN_TELLS_LABEL,
            "Each of these columns gives the label of every row without an error.",
            names,
        )


def _strong(strengths: dict[str, float]) -> Iterator[Finding]:
    if strengths:
        message = f"Each of these columns alone has an AUROC above {STRONG_AUROC:.2f} (in either direction)."
        best = sorted(strengths, key=lambda name: (-strengths[name], name))[:10]
        figures = {name: strengths[name] for name in best}
        yield Finding.of_names(Level.SUSPICION, FindingKind.STRONG_COLUMN, message, list(strengths), figures)


def _identifiers(names: list[str], data: AttentionData) -> Iterator[Finding]:
    """Columns about the participant are expected to be constant, others are not. Both identify participants."""
    expected = {name for name in names if (parts := parse_feature_name(name)) and parts.stream == PARTICIPANT_STREAM}
    for level, columns, kind_of_column in (
        (Level.SUSPICION, sorted(set(names) - expected), "Columns that do not describe the participant"),
        (Level.NOTE, sorted(expected), "Columns that describe the participant"),
    ):
        if columns:
            profiles = len(data.X[columns].drop_duplicates())
            message = f"{kind_of_column} have one value per participant, so they can identify participants."
            figures = {"different_profiles": profiles, "participants": data.participants}
            yield Finding.of_names(level, FindingKind.IDENTIFIER, message, columns, figures)
