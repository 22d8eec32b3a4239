"""The student's own pickle, smaller: 84 columns, every prompt 21 times, and a label history with the copies in it.

Source: cells 40 to 51 of `ml_model.ipynb` of moovingsloth/wearable-attention-fatigue: heart rate alone, each prompt at
every minute from 10 minutes before it to 10 minutes after it.
"""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd

PEOPLE, PROMPTS, COPIES = 12, 20, 21
DAY_S, HOUR_S = 86_400, 3_600
WINDOWS = ("S30", "M01", "M05", "M10", "M30", "H01", "H03", "H06")
STATISTICS = ("AVG", "STD", "SKW", "KUR", "ASC", "BEP", "MED", "TSC")
HISTORY_S = {"ESM#LIK#H06": 6 * HOUR_S, "ESM#LIK#H12": 12 * HOUR_S, "ESM#LIK#H24": 24 * HOUR_S}
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
PARTS_OF_DAY = ("DAWN", "MORNING", "AFTERNOON", "LATE_AFTERNOON", "EVENING", "NIGHT", "MIDNIGHT")


def student_tuple(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray, None]:
    """(X, y, group, t, None) of 12 participants: X of shape (5040, 84), 68 float32 and 16 bool."""
    rng = np.random.default_rng(seed)
    prompts = PEOPLE * PROMPTS
    person = np.repeat(np.arange(PEOPLE), PROMPTS)
    number = np.tile(np.arange(PROMPTS), PEOPLE)
    asked_s = number // 8 * DAY_S + (10 + 1.5 * (number % 8)) * HOUR_S + 60 * rng.integers(0, 40, prompts)
    y = (rng.random(prompts) < 0.5).astype(np.int64)
    rows = np.repeat(np.arange(prompts), COPIES)
    t_s = asked_s[rows] + 60.0 * np.tile(np.arange(COPIES) - COPIES // 2, prompts)
    measured = {f"HRT#{s}#{w}": rng.normal(size=prompts) for s in STATISTICS for w in WINDOWS}
    measured["HRT#AVG#M10"] += 0.4 * y
    columns = {"HRT#VAL": rng.normal(size=len(rows)).astype("float32")}
    columns |= {name: (v[rows] + rng.normal(0, 0.3, len(rows))).astype("float32") for name, v in measured.items()}
    columns |= {name: _history(y[rows], person[rows], t_s, window_s) for name, window_s in HISTORY_S.items()}
    columns |= _calendar(t_s)
    groups = np.array([f"P{n:02d}" for n in person[rows]])
    return pd.DataFrame(columns), y[rows], groups, t_s, None


def _history(y: np.ndarray, person: np.ndarray, t_s: np.ndarray, window_s: int) -> np.ndarray:
    """The share of ones among the rows before, so the earlier copies of the own prompt are among them."""
    shares = np.zeros(len(y), "float32")
    for one in np.unique(person):
        rows = np.flatnonzero(person == one)
        age = t_s[rows][:, None] - t_s[rows][None, :]
        known = (age > 0) & (age <= window_s)
        shares[rows] = (known * y[rows]).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return shares


def _calendar(t_s: np.ndarray) -> dict[str, np.ndarray]:
    """16 bool columns: day of the week, weekend, part of the day."""
    day, hour = (t_s // DAY_S).astype(int) % 7, t_s % DAY_S / HOUR_S
    parts = np.digitize(hour, (9, 12, 15, 18, 21, 24))
    weekend = {"ESM#WKD=Y": day >= 5, "ESM#WKD=N": day < 5}
    days = {f"ESM#DOW={name}": day == number for number, name in enumerate(DAYS)}
    return days | weekend | {f"ESM#HRN={name}": parts == number for number, name in enumerate(PARTS_OF_DAY)}


def write_student_pickle(path: Path) -> None:
    """Writes the tuple as `cloudpickle.dump` of the notebook does: pickle protocol 5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(student_tuple(), protocol=5))
