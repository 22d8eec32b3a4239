"""Finds replicated prompts without times: the copies of a prompt are neighbours in the file and have one label.

Two signs are looked for. The runs of equal labels have lengths of one common factor. Or a column is equal, or on a
straight line, between neighbours, and never where the label changes.
"""

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.column_names import parse_feature_name

MAX_LOG_CHANCE = -30.0
"""Natural logarithm of the chance below which a sign is no accident, for thousands of columns."""

MIN_JOINED = 0.5
"""Minimum share of neighbours that a column joins: replication covers every prompt."""

STRAIGHT = 1e-5
"""Maximum second difference of three values on a line, as a share of the column's range for the participant."""


def block_numbers(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """(N,) int64, the prompt number of each row by the order of the file; None if no prompt is replicated."""
    same_person = groups[1:] == groups[:-1]
    same_label = same_person & (y[1:] == y[:-1])
    joined = _by_runs(same_label, same_person)
    if joined is None:
        joined = _by_columns(X, same_person, same_label)
    return None if joined is None else np.concatenate([[0], np.cumsum(~joined)])


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
    for name in X.columns:
        if X[name].dtype == bool or ((parts := parse_feature_name(name)) and parts.stream in ("ESM", "PIF")):
            continue
        joined = _joined(X[name].to_numpy(dtype=np.float64), same_person)
        count = int(joined.sum())
        certain = count * np.log(equal / pairs) < MAX_LOG_CHANCE and not (joined & ~same_label).any()
        if certain and count >= MIN_JOINED * pairs and (best is None or count > best.sum()):
            best = joined
    return best


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
