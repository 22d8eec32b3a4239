"""Counts features by stream, statistic and window, and flags missing streams and constant columns.

`column_names` parses the names; `features` stores the summary.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from urgency_dagster.attention.reading.column_names import FeatureName, parse_feature_name
from urgency_dagster.attention.reading.pickles import AttentionData

NOT_SENSED = ("PIF", "ESM")
"""Streams without a sensor (participant, time). They cannot be missing."""

OUTSIDE_GRAMMAR = ""
"""The stream of names that do not follow the grammar."""


def feature_summary(data: AttentionData) -> dict[str, Any]:
    """Counts of samples, counts of features by stream, statistic and window (seconds), and flags, as JSON values.

    `missing_streams` lists, by stream, the participants whose columns hold zeros only; the data set marks a sensor
    without recordings in this way. `constant_within_participant` lists, by stream, the columns with one value per
    participant; they can identify a participant and nothing else.
    """
    names = {name: parse_feature_name(name) for name in data.X.columns}
    streams = _by_stream(names)
    categorical = sum(str(dtype) == "bool" for dtype in data.X.dtypes)
    missing, constant = _flags(data, streams)
    return {
        "source_sha256": data.source_sha256,
        "rows": len(data.X),
        "participants": data.participants,
        "positive_rate": float(data.y.mean()),
        "features": {
            "total": len(names),
            "categorical": categorical,
            "numeric": len(names) - categorical,
            "outside_grammar": len(streams.get(OUTSIDE_GRAMMAR, ())),
            **_counts([name for name in names.values() if name is not None]),
        },
        "missing_streams": missing,
        "constant_within_participant": constant,
        "times_known": data.t_s is not None,
        "warnings": list(data.warnings),
    }


def _by_stream(names: Mapping[str, FeatureName | None]) -> dict[str, list[str]]:
    streams: dict[str, list[str]] = defaultdict(list)
    for column, name in names.items():
        streams[OUTSIDE_GRAMMAR if name is None else name.stream].append(column)
    return dict(streams)


def _counts(names: Sequence[FeatureName]) -> dict[str, dict[str, int]]:
    return {
        "by_stream": _count(name.stream for name in names),
        "by_statistic": _count(name.statistic for name in names),
        "by_window_s": _count(name.window_s for name in names if name.window_s is not None),
    }


def _count(values: Iterable[Hashable]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).items()}


def _flags(
    data: AttentionData, streams: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The missing streams and the constant columns of `feature_summary`."""
    participants = np.unique(data.groups)
    missing: dict[str, list[str]] = {}
    constant: dict[str, list[str]] = {}
    for stream, columns in streams.items():
        lowest, highest = extremes(data.X[columns].to_numpy(dtype=np.float32), data.groups)
        empty = ((lowest == 0) & (highest == 0)).all(axis=1)
        if empty.any() and stream not in (*NOT_SENSED, OUTSIDE_GRAMMAR):
            missing[stream] = participants[empty].tolist()
        is_constant = (lowest == highest).all(axis=0)
        if is_constant.any():
            constant[stream] = np.asarray(columns, dtype=object)[is_constant].tolist()
    return missing, constant


def extremes(X: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The minimum and maximum of each column for each participant.

    Args:
        X: (N, P).
        groups: (N,) the participant of each row.

    Returns:
        Two (participants, P) arrays of the dtype of X, sorted by participant.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.unique(groups[order], return_index=True)[1]
    values = X[order]
    return np.minimum.reduceat(values, starts, axis=0), np.maximum.reduceat(values, starts, axis=0)
