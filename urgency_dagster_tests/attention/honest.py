"""Data without leaks and with an honest label history. Tests add leaks to it."""

import dataclasses

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.pickles import AttentionData

DAY_S, HOUR_S = 86_400.0, 3_600.0
WINDOWS_S = {"ESM#LIK#H06": 6 * HOUR_S, "ESM#LIK#H24": 24 * HOUR_S}


def honest_data(
    seed: int = 3, participants: int = 12, rows: int = 40, columns: int = 30, persistence: float = 0.5
) -> AttentionData:
    """Eight prompts a day at least 40 minutes apart, answers that last, features with a participant effect."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"P{n:02d}" for n in range(participants)], rows)
    prompts = [n // 8 * DAY_S + (10 + 1.5 * (n % 8)) * HOUR_S + 60 * rng.integers(0, 40) for n in range(len(groups))]
    t_s = np.array([prompts[n % rows] for n in range(len(groups))]) + 60.0 * np.repeat(np.arange(participants), rows)
    y = np.concatenate([lasting(rng, rows, persistence) for _ in range(participants)])
    offsets = np.repeat(rng.normal(size=(participants, columns)), rows, axis=0)
    X = pd.DataFrame(
        (offsets + rng.normal(size=(len(y), columns))).astype("float32"),
        columns=[f"HRT#AVG#{n + 1}" for n in range(columns)],
    )
    X["PIF#AGE"] = np.repeat(np.arange(participants) + 18, rows).astype("float32")
    X["DST_MOT#VAL=IDLE"] = rng.random(len(y)) < 0.5
    for name, window_s in WINDOWS_S.items():
        X[name] = history(y, groups, t_s, window_s)
    return AttentionData(X, y, groups, t_s, "0" * 64)


def lasting(rng: np.random.Generator, rows: int, persistence: float) -> np.ndarray:
    """Labels of one participant, of which this share repeats the one before."""
    y = (rng.random(rows) < rng.uniform(0.3, 0.7)).astype(np.int64)
    for n in range(1, rows):
        if rng.random() < persistence:
            y[n] = y[n - 1]
    y[:2] = 0, 1
    return y


def history(y: np.ndarray, groups: np.ndarray, t_s: np.ndarray, window_s: float, *, own: bool = False) -> np.ndarray:
    """Share of the participant's earlier labels in the window that are 1, also of the row's own if `own`."""
    shares = np.zeros(len(y), dtype="float32")
    for i in range(len(y)):
        age = t_s[i] - t_s
        known = (groups == groups[i]) & (age > 0) & (age <= window_s)
        known[i] = own
        shares[i] = y[known].mean() if known.any() else 0.0
    return shares


def with_columns(data: AttentionData, **columns: np.ndarray) -> AttentionData:
    """The data with columns added or replaced; `__` in a name stands for `#`."""
    named = {name.replace("__", "#"): values for name, values in columns.items()}
    return dataclasses.replace(data, X=data.X.assign(**named))


def replicated(data: AttentionData, copies: int = 5) -> AttentionData:
    """Every prompt several times, a minute apart, its features measured anew, its label history that of the copies."""
    rng = np.random.default_rng(1)
    rows = np.repeat(np.arange(len(data.y)), copies)
    t_s = np.asarray(data.t_s)[rows] + 60.0 * np.tile(np.arange(copies), len(data.y))
    X = data.X.iloc[rows].reset_index(drop=True)
    measured = [name for name in X.columns if name.startswith("HRT")]
    X[measured] = (X[measured] + rng.normal(0, 0.1, (len(X), len(measured)))).astype("float32")
    y, groups = data.y[rows], data.groups[rows]
    for name, window_s in WINDOWS_S.items():
        X[name] = history(y, groups, t_s, window_s)
    return dataclasses.replace(data, X=X, y=y, groups=groups, t_s=t_s)
