"""Figures as people read them: shares in words, sizes in MB, times in minutes, rounded scores, small tables."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

DIGITS = 4
"""Digits of a score after the decimal point."""

MB, GB = 1e6, 1e9
MINUTE_S, HOUR_S = 60, 3600


def share(part: int, whole: int, noun: str) -> str:
    """A share in words: `3 of 45 calls (6.7 %)`.

    Args:
        part: the count.
        whole: the count that it is part of.
        noun: the plural of what is counted.
    """
    return f"{part:,} of {whole:,} {noun} ({100 * part / whole:.1f} %)" if whole else f"no {noun}"


def size(size_bytes: float) -> str:
    """A size in MB or GB."""
    return f"{size_bytes / GB:,.1f} GB" if size_bytes >= GB else f"{size_bytes / MB:,.1f} MB"


def duration(seconds: float) -> str:
    """A time in words: `12.3 s`, `4 min 12 s`, `2 h 5 min`."""
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // HOUR_S, whole % HOUR_S // MINUTE_S
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % MINUTE_S} s"


def timing(seconds: float) -> dict[str, Any]:
    """A time as metadata: in words for people, and in seconds for the plot over all runs."""
    return {"took": duration(seconds), "seconds": round(seconds, 1)}


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures, with floats rounded to DIGITS."""
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in figures.items()}


def figure_table(figures: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A Markdown table of names and figures."""
    formatted = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in figures.items()}
    lines = [f"| {name} | {value} |" for name, value in formatted.items()] or ["| none | 0 |"]
    return dg.MetadataValue.md("\n".join(["| name | value |", "| --- | ---: |", *lines]))


def option_table(options: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A Markdown table of options with their exact values."""
    return figure_table({name: str(value) for name, value in options.items()})


def figure(value: float | None) -> dg.MetadataValue:
    """A figure, or the text `none`."""
    return dg.MetadataValue.text("none") if value is None else dg.MetadataValue.float(round(value, DIGITS))
