"""How the turns that were found in a recording cover the utterances of its label."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from urgency_dagster.listening import Turn

COVERED_SHARE = 0.5
"""Minimum share of an utterance's time inside found turns, so that it counts as covered. Assumed, not measured."""


class Coverage(NamedTuple):
    """The figures of one call.

    Attributes:
        speech_ms: time of the labelled utterances. Time in which two overlap counts once.
        missed_ms: the part of it that is outside of every found turn.
        utterances: number of labelled utterances.
        covered: utterances of which at least COVERED_SHARE is inside found turns.
        turns: number of found turns.
        labelled_turns: found turns that overlap a labelled utterance.
    """

    speech_ms: int
    missed_ms: int
    utterances: int
    covered: int
    turns: int
    labelled_turns: int


def best_utterances(found: "Sequence[Turn]", labelled: "Sequence[Turn]") -> "NDArray[np.int64]":
    """The labelled utterance that each found turn overlaps most, int64, (F,); -1 if it overlaps none.

    Of equal overlaps the first utterance counts.

    Args:
        found: the F turns that were found.
        labelled: the utterances of the label, at least one.
    """
    overlaps = _overlaps_ms(_times(found), _times(labelled))
    return np.where(overlaps.max(axis=1, initial=0) > 0, overlaps.argmax(axis=1), -1)


def coverage(found: "Sequence[Turn]", labelled: "Sequence[Turn]", duration_ms: int) -> Coverage:
    """How found turns cover the utterances of a label.

    Args:
        found: the turns that were found, in the order of time.
        labelled: the utterances of the label, at least one.
        duration_ms: length of the recording in milliseconds. Utterances that end later are clipped.
    """
    utterances = np.minimum(_times(labelled), duration_ms)
    heard, speech = _union(_times(found)), _union(utterances)
    inside = _overlaps_ms(utterances, heard).sum(axis=1)
    speech_ms = _length_ms(speech)
    return Coverage(
        speech_ms=speech_ms,
        missed_ms=speech_ms - int(_overlaps_ms(speech, heard).sum()),
        utterances=len(utterances),
        covered=int((inside >= COVERED_SHARE * (utterances[:, 1] - utterances[:, 0])).sum()),
        turns=len(found),
        labelled_turns=int((best_utterances(found, labelled) >= 0).sum()),
    )


def _times(turns: "Sequence[Turn]") -> "NDArray[np.int64]":
    """Start and end of each turn in ms, (N, 2)."""
    return np.array([(turn.start_ms, turn.end_ms) for turn in turns], np.int64).reshape(-1, 2)


def _overlaps_ms(ones: "NDArray[np.int64]", others: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The common time of each pair of intervals in ms, (N, M)."""
    starts = np.maximum(ones[:, None, 0], others[None, :, 0])
    ends = np.minimum(ones[:, None, 1], others[None, :, 1])
    overlaps: NDArray[np.int64] = np.maximum(ends - starts, 0)
    return overlaps


def _union(intervals: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Disjoint intervals that cover the same time, in order."""
    merged: list[list[int]] = []
    for start, end in sorted(intervals.tolist()):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, np.int64).reshape(-1, 2)


def _length_ms(intervals: "NDArray[np.int64]") -> int:
    return int((intervals[:, 1] - intervals[:, 0]).sum())
