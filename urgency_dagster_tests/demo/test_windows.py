import numpy as np
import pandas as pd
import pytest

from urgency_dagster.demo.windows import (
    POINTS,
    WINDOWS_S,
    CategoricalStream,
    NumericStream,
    categorical_columns,
    numeric_columns,
    window_statistics,
)

HEART_RATE = NumericStream("HRT", 75.6, 6.0, 6.0, 4.0, 0.2, 35.0, 199.0)
RINGER = CategoricalStream("RNG", {"VIBRATE": 0.6, "SILENT": 0.25, "NORMAL": 0.15}, 2.0, effect={"SILENT": 1.2})
CALLS = CategoricalStream("CAE", {"CALL": 0.2, "IDLE": 0.8}, 2.0, effect={})
Y = np.tile([0, 1], 30)


def test_statistics_are_those_of_pandas_and_numpy() -> None:
    v = np.random.default_rng(0).gamma(2.0, size=(3, 50))
    statistics = window_statistics(v)
    for i, row in enumerate(v):
        series = pd.Series(row)
        counts = np.histogram(row, bins="doane")[0]
        shares = counts[counts > 0] / counts.sum()
        z = (row - row.mean()) / row.std(ddof=1)
        expected = {
            "AVG": series.mean(),
            "STD": series.std(),
            "SKW": series.skew(),
            "KUR": series.kurt(),
            "ASC": series.diff().abs().sum(),
            "BEP": -(shares * np.log(shares)).sum(),
            "MED": series.median(),
            "TSC": np.sqrt((np.diff(z) ** 2).sum()),
        }
        assert {name: values[i] for name, values in statistics.items()} == pytest.approx(expected)


def test_a_constant_window_has_no_spread() -> None:
    statistics = window_statistics(np.full((2, 4), 340_330.1))
    assert statistics.pop("AVG") == pytest.approx(340_330.1)
    assert statistics.pop("MED") == pytest.approx(340_330.1)
    assert all((values == 0).all() for values in statistics.values())


def test_a_numeric_stream_has_65_finite_columns_within_its_range() -> None:
    columns = numeric_columns(np.random.default_rng(0), HEART_RATE, Y)
    assert len(columns) == 65
    assert list(columns)[:2] == ["HRT#VAL", "HRT#AVG#S30"]
    assert all(values.shape == Y.shape and np.isfinite(values).all() for values in columns.values())
    assert columns["HRT#VAL"].min() >= 35
    assert columns["HRT#VAL"].max() <= 199
    for tag in WINDOWS_S:
        assert (columns[f"HRT#STD#{tag}"] >= 0).all()


def test_neighbouring_windows_agree() -> None:
    columns = numeric_columns(np.random.default_rng(0), HEART_RATE, np.zeros(400, dtype=np.int64))
    assert np.corrcoef(columns["HRT#AVG#H03"], columns["HRT#AVG#H06"])[0, 1] > 0.9


def test_a_paused_stream_has_empty_short_windows_only() -> None:
    columns = numeric_columns(np.random.default_rng(0), HEART_RATE, np.zeros(400, dtype=np.int64))
    empty = columns["HRT#AVG#S30"] == 0
    assert 0 < empty.sum() < 40
    assert (columns["HRT#AVG#M05"][empty] == 0).all()
    assert (columns["HRT#AVG#M10"] > 0).all()


def test_a_sensor_without_contact_gives_its_highest_value_only() -> None:
    loose = NumericStream("EDA", 7.0, 0.1, 0.1, 0.1, 0.0, 0.0, 340_330.0, exponential=True, no_contact=0.5)
    columns = numeric_columns(np.random.default_rng(0), loose, Y)
    off = columns["EDA#VAL"] == 340_330.0
    assert 0 < off.sum() < Y.size
    assert (columns["EDA#STD#H06"][off] == 0).all()
    assert columns["EDA#VAL"][~off].max() < 10_000


def test_a_categorical_stream_has_the_columns_of_each_value() -> None:
    columns = categorical_columns(np.random.default_rng(0), RINGER, Y)
    assert len(columns) == 47
    assert {name for name, values in columns.items() if values.dtype == bool} == {
        "RNG#VAL=VIBRATE",
        "RNG#VAL=SILENT",
        "RNG#VAL=NORMAL",
    }


def test_of_two_values_the_first_ones_duration_is_reported() -> None:
    columns = categorical_columns(np.random.default_rng(0), CALLS, Y)
    assert len(columns) == 29
    assert "CAE#DUR#H06" in columns
    assert np.corrcoef(columns["CAE#DUR#S30"], columns["CAE#VAL=CALL"])[0, 1] > 0.8


def test_categorical_columns_agree_with_each_other() -> None:
    columns = categorical_columns(np.random.default_rng(0), RINGER, Y)
    names = list(RINGER.shares)
    now = np.stack([columns[f"RNG#VAL={name}"] for name in names])
    assert (now.sum(axis=0) == 1).all()
    since = np.stack([columns[f"RNG#DSC={name}"] for name in names]).astype(np.float64)
    assert (columns["RNG#DSC"] == since[now.argmax(axis=0), np.arange(Y.size)]).all()
    assert ((since >= 0) | (since == -1)).all()
    for tag in WINDOWS_S:
        shares = np.stack([columns[f"RNG#DUR={name}#{tag}"] for name in names]).astype(np.float64)
        assert shares.sum(axis=0) == pytest.approx(1.0)
        entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=0)
        assert columns[f"RNG#ETP#{tag}"] == pytest.approx(entropy)
        assert ((columns[f"RNG#ASC#{tag}"] == 0) | (columns[f"RNG#ETP#{tag}"] > 0)).all()


def test_the_last_record_is_the_value_now() -> None:
    columns = categorical_columns(np.random.default_rng(0), RINGER, Y)
    since = np.stack([columns[f"RNG#DSC={name}"] for name in RINGER.shares]).astype(np.float64)
    known = np.where(since < 0, np.inf, since)
    recent = columns["RNG#DSC"] < WINDOWS_S["H06"]
    assert recent.any()
    assert (known.min(axis=0)[recent] == columns["RNG#DSC"][recent]).all()


def test_labels_move_the_level() -> None:
    moved = NumericStream("HRT", 75.6, 0.0, 6.0, 4.0, 3.0, 35.0, 199.0)
    columns = numeric_columns(np.random.default_rng(0), moved, Y)
    assert columns["HRT#AVG#H06"][Y == 1].mean() > columns["HRT#AVG#H06"][Y == 0].mean() + 10


def test_the_longest_window_is_the_whole_series() -> None:
    assert POINTS == 2161
