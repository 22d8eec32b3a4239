"""What the model is good for while a call goes on: how soon its answer is right, and what its errors cost.

An answer for a call is the class with the highest mean logit over the utterances heard so far.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import accuracy, recall_of, scores_with_intervals

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIMES_S = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180)
"""Seconds of a call after which the model is asked; the longest call of the data set has 180."""

CALLS_TOLD = 1000
"""Calls that an expected cost is of."""


def time_to_decision(
    logits: "NDArray[np.float32]",
    ends_ms: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
    true: "NDArray[np.int64]",
    high: int,
    bootstrap: BootstrapConfig,
    times_s: Sequence[int] = TIMES_S,
) -> list[dict[str, Any]]:
    """How right the answers are after some seconds of every call.

    Args:
        logits: of each utterance, (N, K).
        ends_ms: when each utterance ends in its call, (N,).
        calls: the call of each utterance as ids 0 to C - 1, (N,).
        true: the class of each call, (C,).
        high: the class whose recall is told.
        bootstrap: samples of the calls for each interval.
        times_s: the moments.

    Returns:
        For each moment: `seconds`, the share of calls with an answer (`decided`), and of all calls, those without an
        answer counting as wrong, `accuracy` and `recall_high` (None when no call is of that class), both with their
        95 % interval over calls as `<score>_interval`.
    """
    told = {"accuracy": accuracy, "recall_high": recall_of(high)}
    silence, everyone = logits.shape[1], np.arange(len(true))
    found = []
    for seconds in times_s:
        answers = _answers(logits, calls, ends_ms <= seconds * 1000, len(true))
        # No answer is a class of its own, so that it is never right.
        read_as = np.where(answers < 0, silence, answers)
        scores = scores_with_intervals(true, read_as, everyone, silence + 1, told, bootstrap)
        found.append({"seconds": seconds, "decided": float((answers >= 0).mean()), **scores})
    return found


def _answers(
    logits: "NDArray[np.float32]", calls: "NDArray[np.int64]", heard: "NDArray[np.bool_]", count: int
) -> "NDArray[np.int64]":
    """The class that each call is read as from the utterances heard, -1 without any; int64, (C,)."""
    sums = np.zeros((count, logits.shape[1]))
    np.add.at(sums, calls[heard], logits[heard])  # the mean has the same greatest class
    utterances = np.bincount(calls[heard], minlength=count)
    return np.where(utterances > 0, sums.argmax(axis=1), -1)


def expected_cost(matrix: "NDArray[np.int64]", costs: "NDArray[np.float64]") -> float:
    """The cost of the errors of CALLS_TOLD calls.

    Args:
        matrix: how often each true class (rows) was predicted as each class (columns), (K, K).
        costs: of one call of each true class read as each class, (K, K).
    """
    return float((matrix * costs).sum() / matrix.sum() * CALLS_TOLD)


def draw_time_to_decision(target: "Path", found: Sequence[dict[str, Any]]) -> None:
    """Accuracy and recall of the high class, with their intervals, and the share of calls with an answer by seconds."""
    seconds = [moment["seconds"] for moment in found]
    lines = (("accuracy", "accuracy", BLUE), ("recall_high", "recall of high", ORANGE), ("decided", "answered", GREY))
    with picture(target, width_in=6.0, height_in=3.2) as axes:
        for key, title, color in lines:
            shares = [np.nan if moment[key] is None else moment[key] for moment in found]
            axes.plot(seconds, shares, marker="o", markersize=3, color=color, label=title)
            bounds = [moment.get(f"{key}_interval") or (np.nan, np.nan) for moment in found]
            low, high = zip(*bounds, strict=True)
            axes.fill_between(seconds, low, high, color=color, alpha=0.15, linewidth=0)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("seconds of the call heard")
        axes.set_ylabel("share of all calls")
        axes.set_title("Urgency by call while the call goes on", fontsize=10)
        axes.legend(frameon=False, fontsize=8)
