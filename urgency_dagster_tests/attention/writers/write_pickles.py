"""Writes the pickles of this folder: `python write_pickles.py`, once in an environment of each pandas to be read.

Each environment holds one pandas (1.3.5 with numpy below 1.24, 1.4.4, 1.5.2, 2.0.3, 2.2.3 with numpy 2, 3.1 with and
without pyarrow), cloudpickle and pytz. It runs on Python 3.8 and later and imports nothing of the project, so that old
environments need nothing else. The values are a formula, not random, so that every writer writes the same ones.
"""

import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytz

ROWS = 15
PARTICIPANTS = 5
FIRST = 1_556_586_000
"""10:00 on 2019-04-30 at UTC+09:00, in seconds."""

NUMERIC = ("PIF#AGE", "HRT#VAL", "HRT#AVG#M05", "DST_MOT#DSC", "DST_MOT#DUR=WALKING#M05", "ESM#LIK#H06")
CATEGORICAL = ("DST_MOT#VAL=WALKING", "ESM#DOW=TUE", "PIF#GEN=F")
STUDENT_NUMERIC = ("bpm#VAL", "bpm#AVG#60", "EDA#TSC#120")


def features(numeric: Any = NUMERIC, categorical: Any = CATEGORICAL) -> Any:
    """Name -> (15,) float32 or bool, in the order of the columns: numeric and categorical ones in turn."""
    row = np.arange(ROWS)
    columns = {name: (row * (i + 1) / 8 - i).astype("float32") for i, name in enumerate(numeric)}
    columns.update({name: row % (i + 2) == 0 for i, name in enumerate(categorical)})
    return {name: columns[name] for name in sorted(columns, key=lambda name: name[::-1])}


def labels() -> Any:
    """(15,) int64."""
    return np.arange(ROWS, dtype="int64") % 2


def participants() -> Any:
    """(15,) <U3."""
    return np.array(["P%02d" % (1 + row * PARTICIPANTS // ROWS) for row in range(ROWS)])  # noqa: UP031 - old Pythons


def seconds() -> Any:
    """(15,) float64 since the local midnight of the first."""
    return 36_000.0 + np.arange(ROWS) * 3600


def _instants(tz: Any) -> Any:
    return pd.to_datetime(FIRST + np.arange(ROWS) * 3600, unit="s", utc=True).tz_convert(tz)


def _one_block_a_column(columns: Any) -> Any:
    # As in the original, where the types are cast column by column.
    X = pd.DataFrame(index=pd.RangeIndex(ROWS))
    for name, values in columns.items():
        X[name] = values
    return X


def authors() -> Any:
    """The 5-tuple of the K-EmoPhone code."""
    date_times = np.array(list(_instants(pytz.FixedOffset(540))), dtype=object)
    return _one_block_a_column(features()), labels(), participants(), seconds(), date_times


def utc() -> Any:
    """The same with a DatetimeIndex in UTC, where the midnight is that of UTC."""
    return pd.DataFrame(features()), labels(), participants(), seconds() - 9 * 3600, _instants("UTC")


def student() -> Any:
    """Rows that were selected from more: a gappy index, groups as objects, t of the whole, nothing as element 5."""
    X = pd.DataFrame(features(STUDENT_NUMERIC)).set_index(np.arange(ROWS) * 3 + 1)
    return X, labels(), participants().astype(object), np.arange(ROWS + 3) * 60.0, None


def main() -> None:
    """Writes all variants beside this file."""
    major, minor = pd.__version__.split(".")[:2]
    writer = "pandas-" + major + "." + minor
    if int(major) >= 3 and importlib.util.find_spec("pyarrow") is None:
        writer += "-without-pyarrow"
    folder = Path(__file__).parent
    for name, module, protocol in (
        ("authors", cloudpickle, 5),
        ("authors", pickle, 4),
        ("utc", pickle, 5),
        ("student", pickle, 5),
    ):
        path = folder / ("%s-%s-protocol-%d.pkl" % (writer, name, protocol))  # noqa: UP031 - old Pythons
        path.write_bytes(module.dumps(globals()[name](), protocol=protocol))
    sys.stdout.write(writer + "\n")


if __name__ == "__main__":
    main()
