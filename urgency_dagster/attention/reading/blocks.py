"""Finds replicated prompts without times: the copies of a prompt have one label, and a column that holds still.

Three signs are looked for. The runs of equal labels in the file have lengths of one common factor. A column is equal,
or on a straight line, between neighbours in the file, and never where the label changes. Or, if the rows were shuffled,
the same holds between neighbours of a participant in the order of the column's values.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.column_names import parse_feature_name

MAX_LOG_CHANCE = -30.0
"""Natural logarithm of the chance below which a sign is no accident, for thousands of columns."""

MIN_JOINED = 0.5
"""Minimum share of neighbours that a column joins: replication covers every prompt."""

MAX_MIXED = 0.01
"""Maximum share of neighbours by value that a column joins although their labels differ: lines meet by chance."""

MIN_BLOCKS = 5
"""Minimum mean number of prompts of a participant. A column with fewer values tells the label, not the prompt."""

STRAIGHT = 1e-5
"""Maximum second difference of three values on a line, as a share of the column's range for the participant."""


def block_numbers(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """(N,) int64, the prompt number of each row; None if no prompt is replicated.

    The order of the file is used. If it shows nothing, the rows may have been shuffled, and the order of the values of
    each column is used. Then only copies whose values do not overlap with those of other prompts are found.
    """
    same_person = groups[1:] == groups[:-1]
    same_label = same_person & (y[1:] == y[:-1])
    joined = _by_runs(same_label, same_person)
    if joined is None:
        joined = _by_columns(X, same_person, same_label)
    return _by_values(X, y, groups) if joined is None else _numbered(joined)


def _numbered(joined: np.ndarray) -> np.ndarray:
    """(N,) int64, block numbers from whether each row is joined to the one before, (N - 1,) bool."""
    return np.concatenate([[0], np.cumsum(~joined)])


def _by_runs(same_label: np.ndarray, same_person: np.ndarray) -> np.ndarray | None:
    """Which neighbours are of one prompt, if every run of labels has a multiple of so many rows."""
    starts = np.concatenate([[0], np.flatnonzero(~same_label) + 1])
    lengths = np.diff(np.append(starts, len(same_label) + 1))
    size = int(np.gcd.reduce(lengths))
    # One run for each participant says nothing: a participant may have one label only.
    runs = len(lengths) - int((~same_person).sum()) - 1
    if size < 2 or -runs * np.log(size) > MAX_LOG_CHANCE:
        return None
    place = np.arange(len(same_label) + 1) - np.repeat(starts, lengths)
    joined: np.ndarray = place[1:] % size != 0
    return joined


def _by_columns(X: pd.DataFrame, same_person: np.ndarray, same_label: np.ndarray) -> np.ndarray | None:
    """Which neighbours are of one prompt, by the column that joins most of them; None if none does so."""
    pairs, equal = int(same_person.sum()), int(same_label.sum())
    if not 0 < equal < pairs:
        return None
    best: np.ndarray | None = None
    for values in _measured(X):
        joined = _joined(values, same_person)
        count = int(joined.sum())
        certain = count * np.log(equal / pairs) < MAX_LOG_CHANCE and not (joined & ~same_label).any()
        if certain and count >= MIN_JOINED * pairs and (best is None or count > best.sum()):
            best = joined
    return best


def _measured(X: pd.DataFrame) -> Iterator[np.ndarray]:
    """The values of each numeric column, without label history and the traits of participants."""
    for name in X.columns:
        parts = parse_feature_name(name)
        if X[name].dtype != bool and not (parts and parts.stream in ("ESM", "PIF")):
            yield X[name].to_numpy(dtype=np.float64)


def _by_values(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """The block of each row, by the column that joins most neighbours in the order of its values; None if none does."""
    codes = np.unique(groups, return_inverse=True)[1]
    chance = _chance_of_one_label(y, codes)
    best, most = None, 0
    for values in _measured(X):
        order = np.lexsort((values, codes))
        same_person, same_label = np.diff(codes[order]) == 0, np.diff(y[order]) == 0
        joined = _joined(values[order], same_person)
        count = int(joined.sum())
        if count <= most or count < MIN_JOINED * same_person.sum():
            continue
        if _log_chance(int((joined & same_label).sum()), count, chance) > MAX_LOG_CHANCE:
            continue
        numbers = _numbered(joined & same_label)
        if (joined & ~same_label).sum() > MAX_MIXED * count or numbers[-1] < MIN_BLOCKS * (codes.max() + 1):
            continue
        best, most = np.empty_like(numbers), count
        best[order] = numbers
    return best


def _chance_of_one_label(y: np.ndarray, codes: np.ndarray) -> float:
    """The chance that two rows of one participant, drawn at random, have the same label."""
    rows, ones = np.bincount(codes), np.bincount(codes, weights=y)
    pairs = (rows * (rows - 1)).sum()
    same = (ones * (ones - 1) + (rows - ones) * (rows - ones - 1)).sum()
    return float(same / pairs) if pairs else 1.0


def _log_chance(same: int, count: int, chance: float) -> float:
    """An upper bound of the natural logarithm of the chance that so many of `count` pairs have one label.

    Source: the Chernoff bound of the binomial distribution in its form with the relative entropy.
    """
    share = same / count
    if share <= chance or chance >= 1:
        return 0.0
    of_others = (1 - share) * np.log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return -count * float(share * np.log(share / chance) + of_others)


def _joined(values: np.ndarray, same_person: np.ndarray) -> np.ndarray:
    """(N - 1,) bool: whether two neighbours are equal, or on a line with a third."""
    steps = np.diff(values)
    joined = steps == 0
    scale = STRAIGHT * max(float(np.ptp(values)), 1e-30)
    line = (np.abs(np.diff(steps)) <= scale) & same_person[1:] & same_person[:-1]
    joined[1:] |= line
    joined[:-1] |= line
    of_one_prompt: np.ndarray = joined & same_person
    return of_one_prompt
