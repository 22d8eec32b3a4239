"""A small data set with the real name grammar: ten participants, a signal in a few columns."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytz

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.paths import AttentionPaths, StoragePaths

STATISTICS = ("AVG", "STD", "MED", "TSC")
SIGNAL = {"HRT#AVG#M05": 4, "EDA#STD#H01": 3, "HRT#TSC#S30": 3, "EDA#MED#H06": 3, "EDA#AVG#S30": 3}
"""How much a column rises when the label is 1; its standard deviation is 5."""

WINDOWS = ("S30", "M05", "H01", "H06")


def make_data(seed: int = 7, rows: int = 300, participants: int = 10) -> AttentionData:
    rng = np.random.default_rng(seed)
    groups = np.sort(np.array([f"P{n:02d}" for n in rng.integers(1, participants + 1, size=rows)]))
    y = (rng.random(rows) < 0.5).astype(np.int64)
    columns: dict[str, np.ndarray] = {"PIF#AGE": np.array([int(g[1:]) + 18 for g in groups], dtype="float32")}
    for stream in ("HRT", "EDA"):
        columns[f"{stream}#VAL"] = rng.normal(70, 10, rows).astype("float32")
        for statistic in STATISTICS:
            for window in WINDOWS:
                columns[f"{stream}#{statistic}#{window}"] = rng.normal(0, 5, rows).astype("float32")
    for name, strength in SIGNAL.items():
        columns[name] = (columns[name] + strength * y).astype("float32")
    columns["DST_MOT#DUR=WALKING#M05"] = rng.random(rows).astype("float32")
    for value in ("WALKING", "IDLE"):
        columns[f"DST_MOT#VAL={value}"] = rng.random(rows) < 0.3 + 0.3 * y
    columns["ESM#DOW=MON"] = rng.random(rows) < 0.2
    columns["ESM#LIK#H06"] = rng.random(rows).astype("float32")
    return AttentionData(pd.DataFrame(columns), y, groups, np.arange(rows) * 60.0, "0" * 64)


def times(data: AttentionData) -> np.ndarray:
    """The times of data that has them."""
    assert data.t_s is not None
    return data.t_s


@pytest.fixture(scope="session")
def data() -> AttentionData:
    return make_data()


@pytest.fixture(scope="session")
def matrix(data: AttentionData) -> np.ndarray:
    """The features, scaled."""
    from urgency_dagster.attention.estimators import FeatureScaler

    return FeatureScaler().fit(data.X).transform(data.X)


@pytest.fixture
def paths(tmp_path: Path) -> AttentionPaths:
    return StoragePaths(tmp_path).attention


@pytest.fixture
def copy_of(tmp_path: Path, paths: AttentionPaths) -> Callable[[Path], AttentionPaths]:
    """Copies a storage root that is made once for a module, and gives the paths of the copy."""

    def copy(root: Path) -> AttentionPaths:
        shutil.copytree(root, tmp_path, dirs_exist_ok=True)
        return paths

    return copy


@pytest.fixture
def write_pickle(tmp_path: Path) -> Callable[..., Path]:
    """Pickles any object and gives the path of the file."""

    def write(value: object, protocol: int = 5) -> Path:
        path = tmp_path / "attention.pkl"
        path.write_bytes(pickle.dumps(value, protocol=protocol))
        return path

    return write


@pytest.fixture
def as_tuple(data: AttentionData) -> Callable[..., tuple[object, ...]]:
    """The 5-tuple of the original, with some elements replaced."""
    instants = pd.Timestamp("2019-04-30", tz=pytz.FixedOffset(540)) + pd.to_timedelta(times(data), unit="s")

    def make(**changed: object) -> tuple[object, ...]:
        elements = {"X": data.X, "y": data.y, "groups": data.groups, "t": data.t_s}
        elements["date_times"] = np.array(list(instants), dtype=object)
        return tuple({**elements, **changed}.values())

    return make
