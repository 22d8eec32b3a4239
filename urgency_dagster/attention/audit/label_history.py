"""Compares label history columns (`ESM#LIK#<window>`) with an honest history that is recomputed from labels and times.

The honest history is the share of ones among the participant's earlier labels in the window. It leaves out the row's
own label. In replicated data it also leaves out the replicates of the row's own prompt, which have the same label.

Source: the K-EmoPhone supplementary code for the definition of the columns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from urgency_dagster.attention.audit.auroc import interval, within_participants
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.running_shares import FollowedShare, followed_shares
from urgency_dagster.attention.reading.column_names import parse_feature_name
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import prompt_numbers

TOLERANCE = 1e-4
"""Maximum difference of two equal histories: the columns are float32 shares."""

MIN_ROWS = 20
"""Minimum number of rows on which the histories with and without the own label differ, before a column is compared."""

CHANCE_AUROC = 0.5
"""The AUROC of an uninformative column."""

MIN_PARTICIPANTS = 10
"""Minimum number of participants with both labels for a bootstrap interval over participants."""

OWN_SHARE = 0.5
"""A column contains the own label by construction if it equals that history on more than this share of these rows.

An honest column equals it by accident only, e.g. if answers outside the data are in the window.
"""

VERIFIED_SHARE = 0.99
"""A column is verified if it equals the honest history on at least this share of all rows."""

MAX_HONEST_GAIN = 0.10
"""Maximum gain in AUROC within participants of an honest column over the recomputed history.

A column may also know answers outside the data, which makes it better than the recomputed history. The gain is small:
earlier labels predict the next one only as long as a mood lasts, and both histories hold the latest labels.
"""


@dataclass(frozen=True)
class Histories:
    """The possible histories of one window, each (N,) float64.

    Attributes:
        honest: from labels of earlier prompts only.
        with_copies: also from earlier replicates of the row's own prompt.
        with_own: also from the row's own label.
    """

    honest: np.ndarray
    with_copies: np.ndarray
    with_own: np.ndarray


def history_columns(data: AttentionData) -> dict[str, int | None]:
    """The label history columns and their windows in seconds; None if the name has no window."""
    parsed = {name: parse_feature_name(name) for name in data.X.columns}
    return {
        name: parts.window_s
        for name, parts in parsed.items()
        if parts is not None and (parts.stream, parts.statistic) == ("ESM", "LIK")
    }


def every_history_column(data: AttentionData) -> list[str]:
    """The label history columns by name, and those that follow a running share of labels under another name."""
    return list(dict.fromkeys([*history_columns(data), *followed_shares(data)]))


def verifiable_columns(data: AttentionData) -> dict[str, int]:
    """The label history columns that can be recomputed, because window and times are known."""
    columns = history_columns(data) if data.t_s is not None else {}
    return {name: window_s for name, window_s in columns.items() if window_s is not None}


def recompute(data: AttentionData, t_s: np.ndarray, prompts: np.ndarray, window_s: int) -> Histories:
    """The histories of one window, from labels and times alone.

    Args:
        data: the samples.
        t_s: (N,) float64, time of each row in seconds.
        prompts: (N,) int64, prompt number of each row (see `prompt_numbers`).
        window_s: length of the window in seconds; both ends are included.
    """
    histories = Histories(*(np.zeros(len(t_s)) for _ in range(3)))
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
    """Findings about the label history columns."""
    named, followed = history_columns(data), followed_shares(data)
    columns = list(dict.fromkeys([*named, *followed]))
    if not columns:
        return []
    compared = _compared(data, verifiable_columns(data))
    message = "Label history columns are valid only if past answers of the participant are known at prediction time."
    recomputed = {name: figures["honest_rows"] for name, figures in compared.items()}
    present = Finding.of_names(Level.NOTE, FindingKind.LABEL_HISTORY, message, columns, recomputed)
    own = {name: share for name, share in followed.items() if share.has_own_label and name not in compared}
    return [present, *_unverifiable(sorted(set(named) - set(compared) - set(own))), *_own(own), *_faults(compared)]


def _own(followed: Mapping[str, FollowedShare]) -> Iterator[Finding]:
    for name, share in followed.items():
        message = "The column follows a running share of labels that contains the row's own label."
        figures = {"with_own_label": share.with_own, "without": share.honest, "own_label": share.own_label}
        yield Finding.of_names(Level.CERTAIN, FindingKind.OWN_LABEL_IN_HISTORY, message, [name], figures)


def _compared(data: AttentionData, columns: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """The figures of `_compare` by column."""
    if data.t_s is None or not columns:
        return {}
    prompts = prompt_numbers(data, data.t_s)
    # The originals count the first of the label values, which may be either class.
    sides = data, replace(data, y=1 - data.y)
    compared = {
        name: [_compare(side, name, recompute(side, data.t_s, prompts, window_s)) for side in sides]
        for name, window_s in columns.items()
    }
    return {name: max(figures, key=_match) for name, figures in compared.items()}


def _match(figures: Mapping[str, float]) -> float:
    return max(figures["honest_rows"], figures["rows_with_own_label"])


def _compare(data: AttentionData, name: str, histories: Histories) -> dict[str, float]:
    """How often a column equals the honest history or one with the own label, and its gain over the honest history."""
    values = data.X[name].to_numpy(dtype=np.float64)
    honest = float(np.isclose(values, histories.honest, atol=TOLERANCE).mean())
    own = max(_share_of(values, histories.honest, other) for other in (histories.with_copies, histories.with_own))
    gain = _gain(data, values, histories.honest) if honest < VERIFIED_SHARE else (0.0, 0.0)
    return {"honest_rows": honest, "rows_with_own_label": own, "gain_low": gain[0], "gain_high": gain[1]}


def _faults(compared: Mapping[str, dict[str, float]]) -> Iterator[Finding]:
    for name, figures in compared.items():
        if figures["rows_with_own_label"] > OWN_SHARE or figures["gain_low"] > MAX_HONEST_GAIN:
            message = "The label history contains the row's own label."
            yield Finding.of_names(Level.CERTAIN, FindingKind.OWN_LABEL_IN_HISTORY, message, [name], figures)
        elif figures["honest_rows"] < VERIFIED_SHARE:
            message = "The label history differs from the history recomputed from labels and times."
            yield Finding.of_names(Level.SUSPICION, FindingKind.UNVERIFIED_HISTORY, message, [name], figures)


def _share_of(values: np.ndarray, honest: np.ndarray, leaking: np.ndarray) -> float:
    """The share of rows on which a column equals the leaking history, among rows where both histories differ.

    It is 0 if the histories differ on fewer than MIN_ROWS rows.
    """
    differ = ~np.isclose(honest, leaking, atol=TOLERANCE)
    if differ.sum() < MIN_ROWS:
        return 0.0
    return float(np.isclose(values[differ], leaking[differ], atol=TOLERANCE).mean())


def _gain(data: AttentionData, values: np.ndarray, honest: np.ndarray) -> tuple[float, float]:
    """The interval of a column's gain in AUROC within participants over the honest history.

    Leaving out the own label biases the honest history below 0.5 on independent labels, so the reference is the larger
    of it and 0.5. The gain is 0 if fewer than MIN_PARTICIPANTS participants have both labels.
    """
    pairs = within_participants(np.stack([values, honest], axis=1), data.y, data.groups)
    if (pairs.pairs > 0).sum() < MIN_PARTICIPANTS:
        return 0.0, 0.0
    resampled = pairs.resampled()
    return interval(resampled[:, 0] - np.maximum(resampled[:, 1], CHANCE_AUROC))


def _unverifiable(names: list[str]) -> Iterator[Finding]:
    if names:
        message = "The label history cannot be recomputed: the data has no times, or the column name has no window."
        yield Finding.of_names(Level.SUSPICION, FindingKind.UNVERIFIED_HISTORY, message, names)
