"""Label history columns (`ESM#LIK#<window>`), held against what an honest history can be: the labels before the prompt.

Honest means: the share of the participant's earlier labels in the window that are 1, without the row's own label and,
where prompts were replicated, without the copies of the row's own prompt, which carry the same label.

Source: the K-EmoPhone supplementary code for the definition of the columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from urgency_dagster.attention.audit.auroc import interval, within_participants
from urgency_dagster.attention.audit.findings import Finding, Kind, Level
from urgency_dagster.attention.audit.replicates import prompt_numbers
from urgency_dagster.attention.reading.column_names import parse_feature_name
from urgency_dagster.attention.reading.pickles import AttentionData

TOLERANCE = 1e-4
"""The columns are float32 shares."""

LEAST_ROWS = 20
"""Rows on which a history with and one without the own label must differ before a column is held against both."""

COIN = 0.5
"""The share of pairs that a column without any knowledge puts in order."""

LEAST_PARTICIPANTS = 10
"""Participants from whom on an interval over them is worth something."""

OWN_SHARE = 0.5
"""A column that has the own label in it on more than half of these rows has it by construction.

An honest column equals such a value only by accident, as when answers that are not in the data filled the window.
"""

VERIFIED_SHARE = 0.99
"""A column is verified if it is the honest history on this share of all rows."""

HONEST_GAIN = 0.10
"""How much better than the recomputed history a column may order a participant's own labels.

A history that also knows answers that are not in the data is better than the recomputed one, but the order of a
participant's labels follows from earlier ones only as far as moods last, and the nearest of those are in both.
"""


@dataclass(frozen=True)
class Histories:
    """What a column of one window would hold, (N,) float64 each.

    Attributes:
        honest: labels of earlier prompts only.
        with_copies: also those of earlier copies of the own prompt.
        with_own: also the row's own.
    """

    honest: np.ndarray
    with_copies: np.ndarray
    with_own: np.ndarray


def history_columns(data: AttentionData) -> dict[str, int | None]:
    """The label history columns and their windows in seconds, None where the name tells none."""
    parsed = {name: parse_feature_name(name) for name in data.X.columns}
    return {
        name: parts.window_s
        for name, parts in parsed.items()
        if parts is not None and (parts.stream, parts.statistic) == ("ESM", "LIK")
    }


def verifiable_columns(data: AttentionData) -> dict[str, int]:
    """Those of them that can be recomputed: the window is known, and so are the times."""
    columns = history_columns(data) if data.t_s is not None else {}
    return {name: window_s for name, window_s in columns.items() if window_s is not None}


def recompute(data: AttentionData, t_s: np.ndarray, window_s: int) -> Histories:
    """The histories of a window, from labels and times alone.

    Args:
        data: the samples.
        t_s: (N,) float64, seconds.
        window_s: the length of the window; both its ends belong to it.
    """
    histories = Histories(*(np.zeros(len(t_s)) for _ in range(3)))
    prompts = prompt_numbers(data, t_s)
    for participant in np.unique(data.groups):
        rows = np.flatnonzero(data.groups == participant)
        age = t_s[rows][:, None] - t_s[rows][None, :]
        other = prompts[rows][:, None] != prompts[rows][None, :]
        recent = (age > 0) & (age <= window_s)
        own = np.eye(len(rows), dtype=bool)
        for target, known in (
            (histories.honest, recent & other),
            (histories.with_copies, recent),
            (histories.with_own, recent | own),
        ):
            target[rows] = (known * data.y[rows]).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return histories


def history_findings(data: AttentionData) -> list[Finding]:
    """What the label history columns hold, as far as it can be told."""
    columns = history_columns(data)
    if not columns:
        return []
    compared = {name: _compare(data, name, window_s) for name, window_s in verifiable_columns(data).items()}
    message = "Label history columns: legitimate only if past answers of the participant are known when predicting."
    recomputed = {name: figures["honest_rows"] for name, figures in compared.items()}
    present = Finding.of_names(Level.NOTE, Kind.LABEL_HISTORY, message, list(columns), recomputed)
    return [present, *_unverified(sorted(set(columns) - set(compared))), *_judged(compared)]


def _compare(data: AttentionData, name: str, window_s: int) -> dict[str, float]:
    """How often a column is an honest history and one with the own label in it, and what it orders better."""
    values = data.X[name].to_numpy(dtype=np.float64)
    # A column can only be compared where there are times.
    histories = recompute(data, np.asarray(data.t_s), window_s)
    honest = float(np.isclose(values, histories.honest, atol=TOLERANCE).mean())
    own = max(_share_of(values, histories.honest, other) for other in (histories.with_copies, histories.with_own))
    gain = _gain(data, values, histories.honest) if honest < VERIFIED_SHARE else (0.0, 0.0)
    return {"honest_rows": honest, "rows_with_own_label": own, "gain_low": gain[0], "gain_high": gain[1]}


def _judged(compared: dict[str, dict[str, float]]) -> Iterator[Finding]:
    for name, figures in compared.items():
        if figures["rows_with_own_label"] > OWN_SHARE or figures["gain_low"] > HONEST_GAIN:
            message = "The row's own label is in its label history."
            yield Finding.of_names(Level.CERTAIN, Kind.OWN_LABEL_IN_HISTORY, message, [name], figures)
        elif figures["honest_rows"] < VERIFIED_SHARE:
            message = "The label history is another one than labels and times in the data give."
            yield Finding.of_names(Level.SUSPICION, Kind.UNVERIFIED_HISTORY, message, [name], figures)


def _share_of(values: np.ndarray, honest: np.ndarray, leaking: np.ndarray) -> float:
    """How often a column is the leaking history where that is not the honest one; 0 where it hardly ever is not."""
    telling = ~np.isclose(honest, leaking, atol=TOLERANCE)
    if telling.sum() < LEAST_ROWS:
        return 0.0
    return float(np.isclose(values[telling], leaking[telling], atol=TOLERANCE).mean())


def _gain(data: AttentionData, values: np.ndarray, honest: np.ndarray) -> tuple[float, float]:
    """The interval of how much better a column orders a participant's own labels than honest history and coin do.

    The honest history alone would be no measure: it is without the own label, so that of labels that do not depend on
    each other it orders less than half, and noise would seem to know more than it may.
    Nothing is said, as by a gain of 0, where fewer than LEAST_PARTICIPANTS have both labels.
    """
    pairs = within_participants(np.stack([values, honest], axis=1), data.y, data.groups)
    if (pairs.pairs > 0).sum() < LEAST_PARTICIPANTS:
        return 0.0, 0.0
    resampled = pairs.resampled()
    return interval(resampled[:, 0] - np.maximum(resampled[:, 1], COIN))


def _unverified(names: list[str]) -> Iterator[Finding]:
    if names:
        message = "The label history cannot be recomputed: the data has no times, or the name tells no window."
        yield Finding.of_names(Level.SUSPICION, Kind.UNVERIFIED_HISTORY, message, names)
