"""Precision and recall of high urgency over the threshold of an alarm, by call."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 50
"""Steps between the thresholds 0 and 1 of a curve."""


def high_urgency(of_high: "NDArray[np.float64]", is_high: "NDArray[np.bool_]") -> dict[str, Any]:
    """The calls of high urgency, and what an alarm at each threshold does.

    Args:
        of_high: calibrated probability of high urgency of each call, float64, (C,).
        is_high: whether the call has high urgency, bool, (C,).

    Returns:
        `calls`, their number; `curve`, for each threshold: `threshold`, `alarms` (share of the calls at or above it),
        `precision` (None without an alarm) and `recall` (None if no call has high urgency).
    """
    thresholds = np.linspace(0, 1, STEPS + 1)
    return {"calls": int(is_high.sum()), "curve": [_point(float(value), of_high, is_high) for value in thresholds]}


def _point(threshold: float, of_high: "NDArray[np.float64]", is_high: "NDArray[np.bool_]") -> dict[str, Any]:
    alarm = of_high >= threshold
    hits = int((alarm & is_high).sum())
    return {
        "threshold": threshold,
        "alarms": float(alarm.mean()),
        "precision": hits / int(alarm.sum()) if alarm.any() else None,
        "recall": hits / int(is_high.sum()) if is_high.any() else None,
    }
