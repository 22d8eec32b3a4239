"""Scores and shares as text, each with its interval."""

from collections.abc import Mapping
from typing import Any


def score_text(scores: Mapping[str, Any] | None, name: str, sign: str = "") -> str:
    """A score with its interval in brackets, with three digits.

    Args:
        scores: the scores with their intervals; None if the task is left out.
        name: name of the score.
        sign: `+` to show the sign of positive numbers.
    """
    if scores is None:
        return "left out"
    bounds = scores[f"{name}_interval"]
    brackets = f" [{bounds[0]:{sign}.3f}, {bounds[1]:{sign}.3f}]" if bounds else ""
    return f"{scores[name]:{sign}.3f}{brackets}"


def share_text(scores: Mapping[str, Any], name: str) -> str:
    """A share with its interval in brackets, in per cent."""
    bounds = scores[f"{name}_interval"]
    brackets = f" [{bounds[0]:.1%}, {bounds[1]:.1%}]" if bounds else ""
    return f"{percent(scores[name])}{brackets}"


def between(scores: Mapping[str, Any], name: str, sign: str = "") -> str:
    """The interval of a score in words, after a space; empty without one.

    Args:
        scores: the scores with their intervals.
        name: name of the score.
        sign: `+` to show the sign of positive bounds.
    """
    bounds = scores[f"{name}_interval"]
    return f" (95 % interval {bounds[0]:{sign}.3f} to {bounds[1]:{sign}.3f})" if bounds else ""


def percent(value: float | None) -> str:
    """A share in per cent."""
    return "none present" if value is None else f"{value:.1%}"
