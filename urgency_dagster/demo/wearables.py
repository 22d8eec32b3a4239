"""A synthetic `attention.pkl`: participants, prompts, labels, and a feature matrix that tells only a little of them.

The streams' columns come from `windows`; nothing is written to disk here.

Source: Kang et al., "K-EmoPhone", Scientific Data 10, 351 (2023), and its supplementary code.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.demo.windows import CategoricalStream, NumericStream, categorical_columns, numeric_columns
from urgency_dagster.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from urgency_dagster.demo.windows import Columns

PARTICIPANTS = tuple(
    f"P{number:02d}"
    for number in (
        *(1, 2, 3, 5, 6, 8, 9, 10, 12, 13, 15, 19, 21, 23, 26, 28, 30, 31, 32, 33, 35, 39, 40, 42),
        *(45, 47, 48, 49, 50, 51, 52, 53, 55, 57, 60, 61, 66, 67, 69, 70, 72, 75, 76, 77, 78, 79, 80),
    )
)
"""The 47 participants with 35 or more prompted answers."""

SAMPLES = 2619
"""Their prompted answers."""

COHORT_STARTS = ("2019-04-30", "2019-05-08", "2019-05-16")
STUDY_DAYS = 7
PROMPTS_PER_DAY = 12
MAX_PROMPTS = STUDY_DAYS * PROMPTS_PER_DAY
UTC_OFFSET_MINUTES = 540

MIN_SAMPLES = 4 * len(PARTICIPANTS)
"""A few answers of everybody."""

Stream = NumericStream | CategoricalStream

STREAMS: tuple[Stream, ...] = (
    NumericStream("EDA", 7.24, 0.8, 0.5, 0.2, -0.18, 0.0, 340_330.0, exponential=True, no_contact=0.15),
    NumericStream("HRT", 75.6, 6.0, 6.0, 4.0, 0.24, 35.0, 199.0),
    NumericStream("STP", -1.0, 0.3, 0.6, 0.8, -0.18, 0.0, 4.0),
    CategoricalStream(
        "ACT",
        {"WALKING": 0.25, "STILL": 0.55, "IN_VEHICLE": 0.15, "ON_BICYCLE": 0.03, "RUNNING": 0.02},
        records_per_hour=6.0,
        effect={"STILL": 1.25},
    ),
    CategoricalStream("CAE", {"CALL": 0.1, "IDLE": 0.9}, records_per_hour=0.5, effect={}, absent=0.19),
    CategoricalStream(
        "RNG",
        {"VIBRATE": 0.6, "SILENT": 0.25, "NORMAL": 0.15},
        records_per_hour=0.2,
        effect={"SILENT": 1.5},
        absent=0.01,
    ),
)
"""A few of the 52 streams, in the order of their columns."""

HOURS = {
    "DAWN": range(6, 9),
    "MORNING": range(9, 12),
    "AFTERNOON": range(12, 15),
    "LATE_AFTERNOON": range(15, 18),
    "EVENING": range(18, 21),
    "NIGHT": range(21, 24),
    "MIDNIGHT": range(6),
}
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
LABEL_WINDOWS_S = {"H06": 21_600, "H12": 43_200, "H24": 86_400}

TRAITS = {
    "AGE": (17, 38),
    "BFI_OPN": (3, 15),
    "BFI_CON": (3, 15),
    "BFI_NEU": (3, 15),
    "BFI_EXT": (3, 15),
    "BFI_AGR": (3, 15),
    "PSS": (3, 32),
    "PHQ": (0, 19),
    "GHQ": (1, 27),
}
"""Observed ranges of the participants' questionnaires."""

BASE_RATE_SD = 0.1
"""Standard deviation of the participants' positive rates.

The real one is 0.21; with it the previous labels alone would predict far better than an honest model does.
"""

PERSISTENCE = 0.08
"""Chance that a participant answers as the last time without looking."""

EXTREMES = {1: 0.03, 2: 0.97}
"""Participants, by position, who almost always give the same answer."""


@dataclass(frozen=True)
class Answers:
    """One participant's prompts in order: (n,) epoch seconds and (n,) labels."""

    epoch_s: "npt.NDArray[np.int64]"
    y: "npt.NDArray[np.int64]"


def attention_pickle(samples: int = SAMPLES, seed: int = 7) -> bytes:
    """The pickled tuple (X, y, group, t, date_times), as the data set's own code writes it.

    X is a frame of bool and float32 columns, y (N,) int64, group (N,) str, t (N,) float64 seconds since the local
    midnight of the earliest prompt, and date_times (N,) object of time stamps at UTC+09:00.

    Args:
        samples: N, over all 47 participants.
        seed: the same seed and size give the same bytes.

    Raises:
        SettingsError: fewer than `MIN_SAMPLES`, or more than the study has prompts.
    """
    import cloudpickle
    import pandas as pd
    import pytz

    answers = draw_answers(samples, seed)
    columns = [_features(answers[code], (seed, i)) for i, code in enumerate(answers)]
    X = pd.DataFrame({name: np.concatenate([one[name] for one in columns]) for name in columns[0]})
    epoch_s = np.concatenate([one.epoch_s for one in answers.values()])
    y = np.concatenate([one.y for one in answers.values()])
    group = np.repeat(np.array(list(answers)), [one.y.size for one in answers.values()])
    zone = pytz.FixedOffset(UTC_OFFSET_MINUTES)
    date_times = np.empty(y.size, dtype=object)
    date_times[:] = [pd.Timestamp(int(second), unit="s", tz=zone) for second in epoch_s]
    t = (epoch_s - date_times[int(np.argmin(epoch_s))].normalize().timestamp()).astype(np.float64)
    pickled: bytes = cloudpickle.dumps((_typed(X), y, group, t, date_times), protocol=5)
    return pickled


def draw_answers(samples: int, seed: int) -> dict[str, Answers]:
    """Everybody's prompts and labels, by participant.

    Raises:
        SettingsError: fewer than `MIN_SAMPLES`, or more than the study has prompts.
    """
    most = MAX_PROMPTS * len(PARTICIPANTS)
    if not MIN_SAMPLES <= samples <= most:
        expected = f"{MIN_SAMPLES} to {most}"
        raise SettingsError(f"{samples} wearable samples are asked for", expected, "ask for another number")
    rng = np.random.default_rng([seed, 0])
    wanted = np.clip(rng.normal(55.7, 13.1, len(PARTICIPANTS)), 36, 83)
    counts = np.minimum(np.floor(wanted * samples / wanted.sum()).astype(int), MAX_PROMPTS)
    while counts.sum() < samples:
        counts[np.argmin(counts)] += 1
    # A Beta distribution with mean 0.5 and the wanted spread.
    shape = (0.25 / BASE_RATE_SD**2 - 1) / 2
    rates = rng.beta(shape, shape, len(PARTICIPANTS))
    answers = {}
    for i, code in enumerate(PARTICIPANTS):
        epoch_s = _prompts(rng, COHORT_STARTS[i * len(COHORT_STARTS) // len(PARTICIPANTS)], int(counts[i]))
        answers[code] = Answers(epoch_s, _labels(rng, EXTREMES.get(i, float(rates[i])), int(counts[i])))
    return answers


def _prompts(rng: np.random.Generator, start: str, n: int) -> "npt.NDArray[np.int64]":
    """`n` different whole minutes of one week, one per hour from 10:00 to 22:00, at least 40 minutes apart."""
    local_midnight_s = np.datetime64(start, "s").astype(np.int64) - UTC_OFFSET_MINUTES * 60
    slots = np.sort(rng.choice(MAX_PROMPTS, size=n, replace=False))
    minute = (10 + slots % PROMPTS_PER_DAY) * 60 + rng.integers(0, 20, n)
    return local_midnight_s + slots // PROMPTS_PER_DAY * 86_400 + minute * 60


def _labels(rng: np.random.Generator, rate: float, n: int) -> "npt.NDArray[np.int64]":
    y = (rng.random(n) < rate).astype(np.int64)
    repeats = rng.random(n) < PERSISTENCE
    for i in range(1, n):
        if repeats[i]:
            y[i] = y[i - 1]
    return y


def _features(answers: Answers, seed: tuple[int, ...]) -> "Columns":
    """One participant's rows with all columns."""
    rng = np.random.default_rng([*seed, 1])
    columns = _participant(rng, answers.y.size)
    for stream in STREAMS:
        columns |= _stream(rng, stream, answers.y)
    return columns | _time(answers.epoch_s) | _previous_labels(answers)


def _stream(rng: np.random.Generator, stream: Stream, y: "npt.NDArray[np.int64]") -> "Columns":
    if isinstance(stream, NumericStream):
        return numeric_columns(rng, stream, y)
    columns = categorical_columns(rng, stream, y)
    if rng.random() >= stream.absent:
        return columns
    # A stream that a participant lacks is zero everywhere: the data set has no mark for missing values.
    return {name: np.zeros_like(values) for name, values in columns.items()}


def _participant(rng: np.random.Generator, n: int) -> "Columns":
    columns: Columns = {
        f"PIF#{name}": np.full(n, float(rng.integers(low, high + 1))) for name, (low, high) in TRAITS.items()
    }
    female = rng.random() < 24 / 77
    return columns | {"PIF#GEN=F": np.full(n, female), "PIF#GEN=M": np.full(n, not female)}


def _time(epoch_s: "npt.NDArray[np.int64]") -> "Columns":
    # The features describe the instant just before the prompt.
    local_s = epoch_s + UTC_OFFSET_MINUTES * 60 - 1
    # 1 January 1970 was a Thursday.
    weekday = (local_s // 86_400 + 3) % 7
    hour = local_s % 86_400 // 3600
    columns: Columns = {f"ESM#DOW={name}": weekday == i for i, name in enumerate(DAYS)}
    columns |= {"ESM#WKD=Y": weekday >= 5, "ESM#WKD=N": weekday < 5}
    return columns | {f"ESM#HRN={name}": np.isin(hour, list(hours)) for name, hours in HOURS.items()}


def _previous_labels(answers: Answers) -> "Columns":
    """Share of the participant's earlier labels that are 1, in the hours before each prompt; 0 without any."""
    columns: Columns = {}
    for tag, window_s in LABEL_WINDOWS_S.items():
        age = answers.epoch_s[:, None] - answers.epoch_s[None, :]
        earlier = (age > 0) & (age <= window_s)
        columns[f"ESM#LIK#{tag}"] = (earlier * answers.y).sum(axis=1) / np.maximum(earlier.sum(axis=1), 1)
    return columns


def _typed(X: "pd.DataFrame") -> "pd.DataFrame":
    """X with bool (categorical) and float32 (numeric) columns."""
    return X.astype({name: "float32" for name, dtype in X.dtypes.items() if dtype.kind != "b"})
