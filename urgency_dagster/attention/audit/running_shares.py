"""Finds columns that follow a running share of the participant's own labels, whatever their names are.

Every column is compared with the shares over many windows: of time, of prompts, and of parts of a day. The measure is
the squared correlation within participants. It is the same if a column counts the other class or is scaled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from urgency_dagster.attention.reading.pickles import SECONDS_PER_DAY, AttentionData
from urgency_dagster.attention.reading.replicates import numbers_of_prompts

HOURS = (0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 18, 24, 48, 72, np.inf)
"""Lengths of the windows of time, in hours."""

PROMPTS = (1, 2, 3, 4, 5, 7, 10, 15, 20)
"""Lengths of the windows of prompts."""

PARTS_OF_DAY = (0, 6, 9, 12, 15, 18, 21, 24)
"""Hours at which a part of a day may begin or end."""

FOLLOWS = 0.9
"""Minimum squared correlation of a column that follows a share."""

EXACT = 0.999
"""Squared correlation from which a column counts as equal to a share."""

OWN_LABEL = 0.5
"""Minimum correlation of the own label with what the best share of earlier labels leaves unexplained."""

MIN_GAIN = 0.01
"""A column follows a share if its squared correlation is this much higher than that with the label itself."""

MAX_KURTOSIS = 10.0
"""Maximum kurtosis of a share. A share that differs in one of ten rows has about 8."""

MIN_ROWS = 60
"""Minimum number of rows. With fewer, some window fits by chance."""


@dataclass(frozen=True)
class FollowedShare:
    """How a column follows a running share.

    Attributes:
        honest: highest squared correlation with a share of the labels of earlier prompts.
        with_own: the same with a share that includes the row's own label or its prompt's copies.
        own_label: correlation of the own label with what the best honest share leaves unexplained, 0 or more.
    """

    honest: float
    with_own: float
    own_label: float

    @property
    def has_own_label(self) -> bool:
        """Whether the column includes the row's own label."""
        return self.honest < EXACT and self.with_own > self.honest and self.own_label >= OWN_LABEL


@dataclass(frozen=True)
class _Participants:
    """The participant of each row as a number, and the number of rows of each participant."""

    codes: np.ndarray
    counts: np.ndarray

    def unit(self, values: np.ndarray) -> np.ndarray:
        """The columns centred within participants, of length 1; of length 0 if they are constant there."""
        order = np.argsort(self.codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        means = np.add.reduceat(values[order], starts, axis=0) / self.counts[:, None]
        centred = values - means[self.codes]
        lengths = np.linalg.norm(centred, axis=0)
        scale = np.abs(values).max(axis=0) * np.sqrt(len(values))
        unit: np.ndarray = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-6 * scale)
        return unit


def followed_shares(data: AttentionData) -> dict[str, FollowedShare]:
    """The columns that follow a running share of labels, by name."""
    if len(data.y) < MIN_ROWS:
        return {}
    codes = np.unique(data.groups, return_inverse=True)[1]
    people = _Participants(codes, np.bincount(codes))
    label = people.unit(data.y[:, None].astype(np.float64))[:, 0]
    X = people.unit(data.X.to_numpy(dtype=np.float64))
    honest, own = (_spread(people.unit(np.stack(shares, axis=1))) for shares in _shares(data))
    fits, fits_own = (X.T @ honest) ** 2, (X.T @ own) ** 2
    best = np.maximum(fits.max(axis=1), fits_own.max(axis=1))
    # A column that is as near to the label itself is a leak of another kind. A short window holds the own label only.
    follows = (best >= FOLLOWS) & (best > (X.T @ label) ** 2 + MIN_GAIN)
    names, found = list(map(str, data.X.columns)), {}
    for column in np.flatnonzero(follows).tolist():
        own_label = _unexplained(X[:, column], honest[:, int(fits[column].argmax())], label)
        share = FollowedShare(float(fits[column].max()), float(fits_own[column].max()), own_label)
        found[names[column]] = share
    return found


def _unexplained(column: np.ndarray, share: np.ndarray, label: np.ndarray) -> float:
    """The correlation of the label with what a share leaves unexplained of a column. All are of length 1."""
    rest = column - (column @ share) * share
    length = float(np.linalg.norm(rest))
    return abs(float(rest @ label)) / length if length > 1e-6 else 0.0


def _spread(shares: np.ndarray) -> np.ndarray:
    """The shares; those that hardly ever change are 0. By chance, a rare event fits another rare event."""
    rare = len(shares) * (shares**4).sum(axis=0) > MAX_KURTOSIS
    return np.where(rare, 0.0, shares)


def _shares(data: AttentionData) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The (N,) shares of earlier prompts, and those that include copies of the own prompt or the own label.

    Without times, the order of the rows stands for them.
    """
    t_s = np.arange(len(data.y), dtype=np.float64) if data.t_s is None else data.t_s
    prompts = numbers_of_prompts(data)
    order = np.lexsort((t_s, data.groups))
    members = np.split(order, np.unique(data.groups[order], return_index=True)[1][1:])
    timed = data.t_s is not None
    of_participants = [list(_shares_of(data.y[rows], prompts[rows], t_s[rows] if timed else None)) for rows in members]
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for number, (is_own, _) in enumerate(of_participants[0]):
        share = np.zeros(len(data.y))
        for rows, shares in zip(members, of_participants, strict=True):
            share[rows] = shares[number][1]
        sides[is_own].append(share)
    return sides


def _shares_of(y: np.ndarray, prompts: np.ndarray, t_s: np.ndarray | None) -> Iterator[tuple[bool, np.ndarray]]:
    """Of one participant's rows in order of time: whether a share includes the own label, and its (n,) values.

    A window ends before the own prompt, before the row itself, or after it.
    """
    numbers = np.unique(prompts, return_inverse=True)[1]
    if (np.diff(numbers) < 0).any():  # rows without times in a random order: no window of prompts can be followed
        numbers = np.arange(len(y))
    here = np.arange(len(y))
    ends = ((False, np.searchsorted(numbers, numbers)), (True, here), (True, here + 1))
    ones = np.concatenate([[0], np.cumsum(y)])
    for low, limit in _windows(numbers, t_s):
        for is_own, end in ends:
            high = np.maximum(np.minimum(end, limit), low)
            yield is_own, (ones[high] - ones[low]) / np.maximum(high - low, 1)


def _windows(prompts: np.ndarray, t_s: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The first row of each row's window, and the row before which the window ends at the latest."""
    n = len(prompts)
    no_limit = np.full(n, n)
    for length in PROMPTS:
        yield np.searchsorted(prompts, prompts - length), no_limit
    if t_s is None:
        yield np.zeros(n, dtype=np.int64), no_limit
        return
    for hours in HOURS:
        yield np.searchsorted(t_s, t_s - 3600 * hours), no_limit
    midnight = t_s // SECONDS_PER_DAY * SECONDS_PER_DAY
    for days, (start, end) in product((0, 1), combinations(PARTS_OF_DAY, 2)):
        day = midnight - days * SECONDS_PER_DAY
        yield np.searchsorted(t_s, day + 3600 * start), np.searchsorted(t_s, day + 3600 * end)
