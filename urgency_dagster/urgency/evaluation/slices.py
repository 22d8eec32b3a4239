"""Scores of parts of the validation side: where, what about, by whom and how long.

A mean over all can hide any of them. What counts as right is `metrics`'; nothing is read or written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import SCORES, recall_of, scores_with_intervals
from urgency_dagster.tables import CALL_TAKER, CALLER

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

UNKNOWN = "unknown"
SPEAKERS = {CALL_TAKER: "call taker", CALLER: "caller"}

SEGMENT_BOUNDS_S = (1.0, 2.0, 5.0)
"""Borders of segment lengths. Source: about the quartiles and the 95th percentile of the data set."""

LEAST_CALLS = 5
"""Calls below which a bootstrap says nothing: of a single call, every sample is the same."""

CALL_BOUNDS_S = (45.0, 90.0)
"""Borders of call lengths, around the data set's median of 65 s."""


def slice_labels(rows: "pa.Table") -> "dict[str, NDArray[np.str_]]":
    """For each way to divide the rows, the part that each row belongs to, (N,).

    Args:
        rows: of the training set.
    """
    archives = [f"{archive}__".split("_") for archive in rows["archive"].to_pylist()]
    return {
        "region": np.array([parts[1] or UNKNOWN for parts in archives]),
        "category": np.array([parts[2] or UNKNOWN for parts in archives]),
        "disasterMedium": _texts(rows["disasterMedium"].to_pylist()),
        "gender": _texts(rows["gender"].to_pylist()),
        "speaker": np.array([SPEAKERS.get(speaker, UNKNOWN) for speaker in rows["speaker"].to_pylist()]),
        "segment_length": _lengths(rows["duration_s"].to_numpy(), SEGMENT_BOUNDS_S),
        "call_length": _lengths(_call_ends_s(rows), CALL_BOUNDS_S),
    }


def slice_scores(
    labels: "Mapping[str, NDArray[np.str_]]",
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
    *,
    classes: int,
    high: int,
    bootstrap: BootstrapConfig,
) -> dict[str, dict[str, dict[str, Any]]]:
    """The scores of every part, by division and part.

    Args:
        labels: as `slice_labels` gives them.
        true: class ids, (N,).
        predicted: class ids, (N,).
        calls: the call of each row as ids, (N,).
        classes: number of classes; one that a part does not have counts as 0 in its macro-F1.
        high: the class whose recall is told.
        bootstrap: samples of the calls for each interval.

    Returns:
        `n`, `calls`, `accuracy`, `f1_macro` and `recall_high`, each score with its 95 % interval over calls as
        `<score>_interval`; None for less than LEAST_CALLS.
    """
    told = {**SCORES, "recall_high": recall_of(high)}

    def part_scores(here: "NDArray[np.bool_]") -> dict[str, Any]:
        ids = np.unique(calls[here], return_inverse=True)[1]
        count = int(ids.max()) + 1
        of_part = bootstrap if count >= LEAST_CALLS else replace(bootstrap, resamples=0)
        scores = scores_with_intervals(true[here], predicted[here], ids, classes, told, of_part)
        return {"n": int(here.sum()), "calls": count, **scores}

    return {
        division: {str(part): part_scores(parts == part) for part in np.unique(parts)}
        for division, parts in labels.items()
    }


def _texts(values: Sequence[str | None]) -> "NDArray[np.str_]":
    return np.array([value or UNKNOWN for value in values])


def _call_ends_s(rows: "pa.Table") -> "NDArray[np.float64]":
    """For each row, the seconds at which the last kept utterance of its call ends."""
    ends = rows.group_by("_id").aggregate([("endAt", "max")])
    found = ends["endAt_max"].take(pc.index_in(rows["_id"].combine_chunks(), ends["_id"].combine_chunks()))
    return found.to_numpy() / 1000


def _lengths(lengths_s: "NDArray[np.float64]", bounds_s: Sequence[float]) -> "NDArray[np.str_]":
    """The part of each length, named so that the names sort by length."""
    edges = [0.0, *bounds_s]
    names = [f"{low:g} to {high:g} s" for low, high in zip(edges, bounds_s, strict=False)]
    return np.array([*names, f"{bounds_s[-1]:g} s and more"])[np.searchsorted(bounds_s, lengths_s, side="right")]
