"""Simulated sensor streams and their window statistics, in the column grammar of the K-EmoPhone features.

One stream of one participant becomes columns here; participants, labels and the whole matrix are in `wearables`.

Source: Kang et al., "K-EmoPhone", Scientific Data 10, 351 (2023), and its supplementary code.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Columns = dict[str, npt.NDArray[np.float64] | npt.NDArray[np.bool_]]

WINDOWS_S = {"S30": 30, "M01": 60, "M05": 300, "M10": 600, "M30": 1800, "H01": 3600, "H03": 10_800, "H06": 21_600}
"""The data windows, which end at the prompt, shortest first."""

SHORT_WINDOWS = ("S30", "M01", "M05")
"""Windows that stay empty when the stream pauses at the prompt."""

STEP_S = 10
POINTS = max(WINDOWS_S.values()) // STEP_S + 1
"""A prompt's simulated series: the longest window, both ends included."""

NEVER_S = -1.0
"""`DSC` before the first record."""


@dataclass(frozen=True)
class NumericStream:
    """A numeric stream: its level varies between participants, between prompts and within a prompt's series.

    Attributes:
        key: the stream's name in the columns.
        mean: the overall level.
        between: standard deviation between participants.
        within: standard deviation between one participant's prompts.
        fast: standard deviation within a series.
        effect: shift of the level when the label is 1, in units of `within`.
        low: the least value the sensor gives.
        high: the greatest.
        exponential: the levels above are natural logarithms.
        no_contact: share of prompts at which the sensor gives `high` only.
    """

    key: str
    mean: float
    between: float
    within: float
    fast: float
    effect: float
    low: float
    high: float
    exponential: bool = False
    no_contact: float = 0.0


@dataclass(frozen=True)
class CategoricalStream:
    """A categorical stream with a closed set of values.

    Attributes:
        key: the stream's name in the columns.
        shares: value -> how often it is drawn; of two values, the first is the one whose duration is reported.
        records_per_hour: how often the stream records.
        effect: value -> factor on its share when the label is 1.
        absent: share of participants whose phone has no such stream.
    """

    key: str
    shares: dict[str, float]
    records_per_hour: float
    effect: dict[str, float]
    absent: float = 0.0


def numeric_columns(rng: np.random.Generator, stream: NumericStream, y: "npt.NDArray[np.int64]") -> "Columns":
    """The 65 columns of a numeric stream for one participant; each is (n,) float64, finite.

    Args:
        rng: the source of the series.
        stream: what to simulate.
        y: (n,) the participant's labels.
    """
    series = _numeric_series(rng, stream, y)
    columns: Columns = {f"{stream.key}#VAL": series[:, -1]}
    paused = rng.random(y.size) < 0.02
    for tag, window_s in WINDOWS_S.items():
        statistics = window_statistics(series[:, -(window_s // STEP_S + 1) :])
        for name, values in statistics.items():
            empty = paused & (tag in SHORT_WINDOWS)
            columns[f"{stream.key}#{name}#{tag}"] = np.where(empty, 0.0, values)
    return columns


def categorical_columns(rng: np.random.Generator, stream: CategoricalStream, y: "npt.NDArray[np.int64]") -> "Columns":
    """The columns of a categorical stream for one participant: (n,) bool for `VAL`, (n,) float64 for the others."""
    values, recorded = _categorical_series(rng, stream, y)
    names = list(stream.shares)
    since = [_seconds_since(rng, recorded & (values == code)) for code in range(len(names))]
    last = values[:, -1]
    columns: Columns = {f"{stream.key}#VAL={name}": last == code for code, name in enumerate(names)}
    columns[f"{stream.key}#DSC"] = np.choose(last, since)
    columns |= {f"{stream.key}#DSC={name}": since[code] for code, name in enumerate(names)}
    for tag, window_s in WINDOWS_S.items():
        window = values[:, -(window_s // STEP_S + 1) :]
        shares = np.stack([(window == code).mean(axis=1) for code in range(len(names))])
        columns[f"{stream.key}#ETP#{tag}"] = _entropy(shares.T)
        columns[f"{stream.key}#ASC#{tag}"] = (np.diff(window, axis=1) != 0).sum(axis=1).astype(float)
        if len(names) == 2:
            columns[f"{stream.key}#DUR#{tag}"] = shares[0]
            continue
        columns |= {f"{stream.key}#DUR={name}#{tag}": shares[code] for code, name in enumerate(names)}
    return columns


def window_statistics(v: "Floats") -> "dict[str, Floats]":
    """The eight statistics of each row of a window; all but AVG and MED are 0 where the row is constant.

    Args:
        v: (n, k) values, k at least 4.
    """
    k = v.shape[1]
    # A constant row must have no spread at all, not one of rounding errors.
    flat = np.ptp(v, axis=1) == 0
    mean = v.mean(axis=1)
    centred = np.where(flat[:, None], 0.0, v - mean[:, None])
    squared = centred * centred
    m2, m3, m4 = squared.mean(axis=1), (squared * centred).mean(axis=1), (squared * squared).mean(axis=1)
    safe = np.where(flat, 1.0, m2)
    g1 = m3 / safe**1.5
    excess = (k - 1) / ((k - 2) * (k - 3)) * ((k + 1) * m4 / safe**2 - 3 * (k - 1))
    std = np.sqrt(m2 * k / (k - 1))
    steps = np.diff(centred, axis=1)
    return {
        "AVG": mean,
        "STD": std,
        "SKW": g1 * np.sqrt(k * (k - 1)) / (k - 2),
        "KUR": np.where(flat, 0.0, excess),
        "ASC": np.abs(steps).sum(axis=1),
        "BEP": np.where(flat, 0.0, _bin_entropy(v, g1)),
        "MED": np.median(v, axis=1),
        "TSC": np.sqrt((steps**2).sum(axis=1)) / np.where(flat, 1.0, std),
    }


def _numeric_series(rng: np.random.Generator, stream: NumericStream, y: "npt.NDArray[np.int64]") -> "Floats":
    """(n, POINTS): level of the participant, of the prompt, and a slow wander within the series."""
    from scipy.signal import lfilter

    level = (
        stream.mean + rng.normal(0.0, stream.between) + stream.within * (rng.normal(size=y.size) + stream.effect * y)
    )
    memory = 0.98
    wander = lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], rng.normal(size=(y.size, POINTS)), axis=1)
    series = level[:, None] + stream.fast * wander
    clipped: Floats = np.clip(np.exp(series) if stream.exponential else series, stream.low, stream.high)
    clipped[rng.random(y.size) < stream.no_contact] = stream.high
    return clipped


def _categorical_series(
    rng: np.random.Generator, stream: CategoricalStream, y: "npt.NDArray[np.int64]"
) -> "tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]":
    """(n, POINTS) value codes, each held until the next record, and (n, POINTS) where a record is."""
    shares = np.array(list(stream.shares.values())) * np.exp(rng.normal(0.0, 0.5, len(stream.shares)))
    factors = np.array([stream.effect.get(name, 1.0) for name in stream.shares])
    weights = np.where(y[:, None] == 1, shares * factors, shares)
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    drawn = (rng.random((y.size, POINTS))[:, :, None] > edges[:, None, :-1]).sum(axis=2)
    recorded = rng.random((y.size, POINTS)) < stream.records_per_hour * STEP_S / 3600
    recorded[:, 0] = True
    latest = np.maximum.accumulate(np.where(recorded, np.arange(POINTS), 0), axis=1)
    return np.take_along_axis(drawn, latest, axis=1), recorded


def _seconds_since(rng: np.random.Generator, hits: "npt.NDArray[np.bool_]") -> "Floats":
    """Seconds from the last hit of each row to its end; older hits lie up to about a day back, or there is none."""
    n = hits.shape[0]
    age = np.argmax(hits[:, ::-1], axis=1) * STEP_S + rng.uniform(0, STEP_S, n)
    before = max(WINDOWS_S.values()) + rng.exponential(20_000, n)
    # A record at the very start of a series stands for one before it.
    older = ~hits[:, 1:].any(axis=1)
    known = hits[:, 0] | (rng.random(n) < 0.5)
    return np.where(older, np.where(known, before, NEVER_S), age)


def _bin_entropy(v: "Floats", g1: "Floats") -> "Floats":
    """Entropy of each row's histogram, with Doane's number of bins."""
    n, k = v.shape
    spread = np.sqrt(6.0 * (k - 2) / ((k + 1.0) * (k + 3)))
    bins = np.ceil(1 + np.log2(k) + np.log2(1 + np.abs(g1) / spread)).astype(int)
    low, span = v.min(axis=1), np.ptp(v, axis=1)
    place = (v - low[:, None]) / np.where(span == 0, 1.0, span)[:, None] * bins[:, None]
    code = np.minimum(place.astype(int), bins[:, None] - 1) + np.arange(n)[:, None] * bins.max()
    counts = np.bincount(code.ravel(), minlength=n * bins.max()).reshape(n, -1)
    return _entropy(counts / k)


def _entropy(shares: "Floats") -> "Floats":
    """Natural-log entropy of each row of shares."""
    entropy: Floats = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return entropy
