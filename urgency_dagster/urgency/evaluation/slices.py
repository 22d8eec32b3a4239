"""Scores of slices of the validation side: by region, category, speaker, length and more."""

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
"""Bounds between slices of utterance length, s. Source: about the quartiles and 95th percentile of the data set."""

MIN_CALLS = 5
"""Minimum number of calls for an interval. Bootstrap samples of one call are all equal."""

CALL_BOUNDS_S = (45.0, 90.0)
"""Bounds between slices of call length, s, around the data set's median of 65 s."""


def slice_labels(rows: "pa.Table") -> "dict[str, NDArray[np.str_]]":
    """For each division, the slice of each row, (N,).

    Args:
        rows: rows of the training set.
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
    """The scores of every slice, by division and slice.

    Args:
        labels: as `slice_labels` returns them.
        true: class ids, int64, (N,).
        predicted: class ids, int64, (N,).
        calls: the call of each row as an id, int64, (N,).
        classes: number of classes; a class absent from a slice counts as 0 in its macro-F1.
        high: the class id of high urgency.
        bootstrap: samples of the calls for each interval.

    Returns:
        `n`, `calls`, `accuracy`, `f1_macro` and `recall_high`, each score with its 95 % interval over calls as
        `<score>_interval`, which is None for fewer than MIN_CALLS calls.
    """
    score_functions = {**SCORES, "recall_high": recall_of(high)}

    def scores_of(rows: "NDArray[np.bool_]") -> dict[str, Any]:
        ids = np.unique(calls[rows], return_inverse=True)[1]
        count = int(ids.max()) + 1
        of_slice = bootstrap if count >= MIN_CALLS else replace(bootstrap, resamples=0)
        scores = scores_with_intervals(true[rows], predicted[rows], ids, classes, score_functions, of_slice)
        return {"n": int(rows.sum()), "calls": count, **scores}

    return {
        division: {str(part): scores_of(parts == part) for part in np.unique(parts)}
        for division, parts in labels.items()
    }


def _texts(values: Sequence[str | None]) -> "NDArray[np.str_]":
    return np.array([value or UNKNOWN for value in values])


def _call_ends_s(rows: "pa.Table") -> "NDArray[np.float64]":
    """For each row, the end of the last utterance of its call, s, float64, (N,)."""
    ends = rows.group_by("_id").aggregate([("endAt", "max")])
    of_rows = ends["endAt_max"].take(pc.index_in(rows["_id"].combine_chunks(), ends["_id"].combine_chunks()))
    seconds: NDArray[np.float64] = of_rows.to_numpy() / 1000
    return seconds


def _lengths(lengths_s: "NDArray[np.float64]", bounds_s: Sequence[float]) -> "NDArray[np.str_]":
    """The slice of each length, (N,). The names sort by length."""
    edges = [0.0, *bounds_s]
    names = [f"{low:g} to {high:g} s" for low, high in zip(edges, bounds_s, strict=False)]
    return np.array([*names, f"{bounds_s[-1]:g} s and more"])[np.searchsorted(bounds_s, lengths_s, side="right")]
