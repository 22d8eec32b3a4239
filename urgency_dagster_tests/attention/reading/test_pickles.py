import datetime
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytz

from urgency_dagster.attention.reading.pickles import AttentionData, load_attention_pickle
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.conftest import times


def test_the_originals_five_tuple_loads(
    data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    path = write_pickle(as_tuple())
    loaded = load_attention_pickle(path)
    pd.testing.assert_frame_equal(loaded.X, data.X)
    np.testing.assert_array_equal(loaded.y, data.y)
    np.testing.assert_array_equal(loaded.groups, data.groups)
    np.testing.assert_array_equal(loaded.t_s, data.t_s)
    assert loaded.y.dtype == np.int64
    assert loaded.groups.dtype.kind == "U"
    assert times(loaded).dtype == np.float64
    assert loaded.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.participants == 10
    assert loaded.warnings == ()


def test_four_elements_and_an_empty_fifth_load(
    write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    assert load_attention_pickle(write_pickle(as_tuple()[:4])).warnings == ()
    assert load_attention_pickle(write_pickle(as_tuple(date_times=None))).warnings == ()


@pytest.mark.parametrize(
    ("t", "said"),
    [
        (np.arange(7.0), "7 values for 300 rows"),
        (np.full(300, np.nan), "not seconds"),
        (np.tile([-3.0, 2.0], 150), "not seconds"),
        (np.tile([1.0, 7.0], 150), "not seconds"),
        (np.array(["x"] * 300), "not a one-dimensional array"),
        ([1.0] * 300, "not a one-dimensional array"),
        (np.arange(300.0) * 60 + 9 * 3600, "differs from date_times in 300 rows"),
        (np.arange(300.0) * 60 + 2 * (np.arange(300) == 7), "differs from date_times in 1 rows"),
    ],
)
def test_unusable_times_are_dropped_with_a_warning(
    write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]], t: Any, said: str
) -> None:
    loaded = load_attention_pickle(write_pickle(as_tuple(t=t)))
    assert loaded.t_s is None
    (warning,) = loaded.warnings
    assert said in warning


def test_absent_times_are_no_warning(
    write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    loaded = load_attention_pickle(write_pickle(as_tuple(t=None)))
    assert (loaded.t_s, loaded.warnings) == (None, ())


@pytest.mark.parametrize("zone", [pytz.FixedOffset(540), pytz.timezone("Asia/Seoul"), datetime.UTC, pytz.UTC], ids=str)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_times_are_compared_with_instants_of_any_zone(
    data: AttentionData,
    write_pickle: Callable[..., Path],
    as_tuple: Callable[..., tuple[object, ...]],
    zone: Any,
    protocol: int,
) -> None:
    midnight = pd.Timestamp("2019-04-30", tz=zone)
    instants = [midnight + pd.Timedelta(seconds=s) for s in times(data)]
    value = as_tuple(date_times=np.array(instants, dtype=object))
    loaded = load_attention_pickle(write_pickle(value, protocol))
    np.testing.assert_array_equal(loaded.t_s, data.t_s)
    assert loaded.warnings == ()
    late = load_attention_pickle(write_pickle(as_tuple(t=times(data) + 5, date_times=value[4]), protocol))
    assert late.warnings == ("t differs from date_times in 300 rows and was dropped",)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda instants: instants.tz_localize(None), "have no offset from UTC"),
        (lambda instants: np.array(list(instants.tz_localize(None)), dtype=object), "have no offset from UTC"),
        (lambda instants: instants.tz_localize(None).to_numpy(), "have no offset from UTC"),
        (lambda instants: instants.tz_convert(pytz.timezone("Asia/Seoul")), "have no offset from UTC"),
        (lambda instants: instants[:7], "have 7 values for 300 rows"),
        (lambda instants: np.array(["2019-04-30"] * 300, dtype=object), "are not timestamps"),
        (lambda instants: np.arange(300), "are not timestamps"),
        (lambda instants: ["2019-04-30"] * 300, "are not timestamps"),
        (lambda instants: 7, "are not timestamps"),
    ],
)
def test_unusable_timestamps_are_dropped_with_a_warning_and_t_stays(
    data: AttentionData,
    write_pickle: Callable[..., Path],
    as_tuple: Callable[..., tuple[object, ...]],
    make: Callable[..., Any],
    said: str,
) -> None:
    instants = pd.DatetimeIndex(np.asarray(as_tuple()[4]))
    loaded = load_attention_pickle(write_pickle(as_tuple(date_times=make(instants))))
    assert loaded.warnings == (f"date_times {said} and were dropped",)
    np.testing.assert_array_equal(loaded.t_s, data.t_s)


def test_participants_with_one_class_are_counted(
    data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    y = np.where(data.groups == "P02", 1, np.where(data.groups == "P07", 0, data.y))
    loaded = load_attention_pickle(write_pickle(as_tuple(y=y)))
    assert loaded.warnings == ("2 participants have one class only",)


def test_object_groups_bool_labels_and_any_row_index_are_normalised(
    data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    X = data.X.set_index(np.arange(len(data.X)) * 3 + 1)
    value = as_tuple(X=X, y=data.y.astype(bool), groups=data.groups.astype(object))
    loaded = load_attention_pickle(write_pickle(value))
    assert loaded.y.dtype == np.int64
    assert loaded.groups.dtype.kind == "U"
    assert loaded.X.index.equals(pd.RangeIndex(len(X)))


def broken(data: AttentionData, name: str) -> Any:
    X = data.X
    return {
        "nan": {"X": X.assign(**{"HRT#VAL": np.float32("nan")})},
        "inf": {"X": X.assign(**{"HRT#VAL": np.float32("inf")})},
        "float64": {"X": X.assign(**{"HRT#VAL": 0.1})},
        "text": {"X": X.assign(extra="a")},
        "object": {"X": X.assign(extra=np.array([1, "a"] * 150, dtype=object))},
        "category": {"X": X.assign(extra=pd.Categorical(["a", "b"] * 150))},
        "time": {"X": X.assign(extra=pd.Timestamp("2019-04-30"))},
        "time with zone": {"X": X.assign(extra=pd.Timestamp("2019-04-30", tz="UTC"))},
        "nullable": {"X": X.assign(extra=pd.array([True] * 300, dtype="boolean"))},
        "unprintable": {"X": X.rename(columns={"HRT#VAL": "HRT\n#VAL"})},
        "long name": {"X": X.rename(columns={"HRT#VAL": "H" * 201})},
        "levels": {"X": pd.concat({"a": X}, axis=1)},
        "series": {"X": X["HRT#VAL"]},
        "no row": {"X": X.iloc[:0]},
        "None y": {"y": None},
        "unprintable group": {"groups": np.where(data.groups == "P05", "\x1b", data.groups)},
        "long group": {"groups": np.where(data.groups == "P05", "P" * 201, data.groups)},
        "duplicate": {"X": pd.concat([X, X[["HRT#VAL"]]], axis=1)},
        "number as name": {"X": X.rename(columns={"HRT#VAL": 7})},
        "array": {"X": X.to_numpy(dtype="float32")},
        "no column": {"X": X[[]]},
        "short y": {"y": data.y[:-1]},
        "short groups": {"groups": data.groups[:-1]},
        "float y": {"y": data.y + 0.5},
        "y of 2": {"y": data.y * 2},
        "one class": {"y": np.zeros_like(data.y)},
        "wide y": {"y": np.stack([data.y, data.y], axis=1)},
        "list y": {"y": [*data.y.tolist()[:-1], "1"]},
        "numbers as groups": {"groups": np.arange(len(X)) / 2},
        "few participants": {"groups": np.where(data.groups > "P05", "P01", "P02")},
        "blank group": {"groups": np.where(data.groups == "P05", "", data.groups)},
    }[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nan", "NaN or infinity, first 'HRT#VAL'"),
        ("inf", "NaN or infinity"),
        ("float64", "'HRT#VAL': float64"),
        ("text", "'extra': str"),
        ("object", "'extra': object"),
        ("category", r"names pandas\.Categorical"),
        ("time", "'extra': datetime64"),
        ("time with zone", "'extra': datetime64"),
        ("nullable", r"names pandas\.arrays\.BooleanArray"),
        ("unprintable", "1 column names of X are not valid text"),
        ("long name", "1 column names of X are not valid text"),
        ("levels", r"names pandas\.MultiIndex"),
        ("series", "element 1 is a Series"),
        ("no row", "at least one row"),
        ("None y", "y is a NoneType"),
        ("unprintable group", "not text"),
        ("long group", "not text"),
        ("duplicate", "'HRT#VAL' occurs more than once"),
        ("number as name", "not valid text"),
        ("array", "X is an array of shape .* without names"),
        ("no column", "at least one row and one column"),
        ("short y", "y has 299 values, X has 300 rows"),
        ("short groups", "group has 299 values"),
        ("float y", "y has the dtype float64"),
        ("y of 2", "values 0, 2"),
        ("one class", "values 0;"),
        ("wide y", "one-dimensional"),
        ("list y", "y is a list"),
        ("numbers as groups", "not text"),
        ("few participants", "2 participants; expected at least 5"),
        ("blank group", "not text"),
    ],
)
def test_each_rule_gives_its_own_error(
    data: AttentionData,
    write_pickle: Callable[..., Path],
    as_tuple: Callable[..., tuple[object, ...]],
    name: str,
    said: str,
) -> None:
    with pytest.raises(AttentionError, match=said):
        load_attention_pickle(write_pickle(as_tuple(**broken(data, name))))


@pytest.mark.parametrize(
    ("value", "said"),
    [((1, 2, 3), "tuple of 3"), ([1] * 3, "list of 3"), ([1] * 5, "element 1 is a int"), ({"X": 1}, "holds a dict")],
)
def test_anything_but_four_or_five_elements_is_refused(
    write_pickle: Callable[..., Path], value: object, said: str
) -> None:
    with pytest.raises(AttentionError, match=said):
        load_attention_pickle(write_pickle(value))


def test_a_large_file_is_refused_unread(
    write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    path = write_pickle(as_tuple())
    size = path.stat().st_size
    assert load_attention_pickle(path, max_bytes=size).participants == 10
    with pytest.raises(AttentionError, match="bytes; expected at most"):
        load_attention_pickle(path, max_bytes=size - 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AttentionError, match=r"there is no file attention\.pkl"):
        load_attention_pickle(tmp_path / "attention.pkl")


class TestVariants:
    """What else goes by the name of an attention pickle."""

    def test_one_stream_with_every_prompt_many_times(self, write_pickle: Callable[..., Path]) -> None:
        """The student's 84 columns: 16 bool, 68 float32, each prompt 21 times, no element 5."""
        rows = 21 * 30
        tags = ("S30", "M01", "M05", "M10", "M30", "H01", "H03", "H06")
        statistics = ("AVG", "STD", "SKW", "KUR", "ASC", "BEP", "MED", "TSC")
        numeric = ["HRT#VAL", *(f"HRT#{s}#{w}" for s in statistics for w in tags)]
        numeric += [f"ESM#LIK#{tag}" for tag in ("H06", "H12", "H24")]
        categorical = [f"ESM#DOW={day}" for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")]
        categorical += ["ESM#WKD=Y", "ESM#WKD=N"]
        categorical += [
            f"ESM#HRN={part}" for part in ("DAWN", "MORNING", "AFTERNOON", "LATE", "EVENING", "NIGHT", "MID")
        ]
        X = pd.DataFrame({name: np.zeros(rows, "float32") for name in numeric})
        X[categorical] = False
        y, group = np.arange(rows) // 21 % 2, np.array([f"P{n // 126:02d}" for n in range(rows)])
        loaded = load_attention_pickle(write_pickle((X, y, group, np.arange(rows) * 60.0, None)))
        assert (loaded.X.shape, loaded.participants, loaded.warnings) == ((rows, 84), 5, ())

    def test_a_part_of_the_rows_with_the_times_of_all(
        self, data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
    ) -> None:
        """The student's attention_train_val.pkl: 49,499 rows, but t of 54,999."""
        loaded = load_attention_pickle(write_pickle(as_tuple(t=np.arange(333.0) * 60, date_times=None)))
        assert (loaded.t_s, loaded.warnings) == (None, ("t has 333 values for 300 rows and was dropped",))

    def test_later_waves_with_other_windows_and_the_label_in_the_place_of_t(
        self, data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
    ) -> None:
        others = {name: str(name).replace("#M05", "#ImmediatePast_15") for name in data.X}
        raw = np.tile([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 50)
        loaded = load_attention_pickle(write_pickle(as_tuple(X=data.X.rename(columns=others), t=raw)))
        assert "HRT#AVG#ImmediatePast_15" in loaded.X
        assert loaded.warnings == ("t holds values that are not seconds since a midnight and was dropped",)

    def test_the_intermediate_series(self, write_pickle: Callable[..., Path]) -> None:
        rows = pd.MultiIndex.from_product([["P01"], [1, 2]], names=["pcode", "timestamp"])
        with pytest.raises(AttentionError, match=r"names pandas\.MultiIndex; .*this may be the intermediate proc\.pkl"):
            load_attention_pickle(write_pickle({"HRT": pd.Series([1.0, 2.0], index=rows)}))

    def test_a_stream_and_its_values_as_a_dictionary_of_arrays(self, write_pickle: Callable[..., Path]) -> None:
        with pytest.raises(AttentionError, match="the pickle holds a dict; expected a tuple of 4 or 5"):
            load_attention_pickle(write_pickle({"HRT": np.ones(3)}))

    def test_a_table_alone(self, data: AttentionData, write_pickle: Callable[..., Path]) -> None:
        with pytest.raises(AttentionError, match="the pickle holds a DataFrame; expected a tuple of 4 or 5"):
            load_attention_pickle(write_pickle(data.X))

    def test_timestamps_in_a_named_zone_of_pandas_3(
        self, data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
    ) -> None:
        instants = pd.date_range("2019-04-30", periods=300, freq="min", tz="Asia/Seoul")
        value = as_tuple(date_times=np.array(list(instants), dtype=object))
        with pytest.raises(AttentionError, match=r"names (builtins\.getattr|zoneinfo\.ZoneInfo)"):
            load_attention_pickle(write_pickle(value))

    def test_a_file_that_is_not_a_pickle_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "attention.pkl"
        path.write_bytes(b"PK\x03\x04 a ZIP")
        with pytest.raises(AttentionError, match="a ZIP archive"):
            load_attention_pickle(path)


@pytest.mark.parametrize("protocol", [4, 5])
def test_the_stored_order_of_memory_does_not_matter(
    data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]], protocol: int
) -> None:
    X = data.X.select_dtypes("float32")
    transposed = pd.DataFrame(np.ascontiguousarray(X.to_numpy()), columns=X.columns, copy=False)
    assert pickle.dumps(X, protocol) != pickle.dumps(transposed, protocol)
    for table in (X, transposed):
        pd.testing.assert_frame_equal(load_attention_pickle(write_pickle(as_tuple(X=table), protocol)).X, X)


def test_the_byte_order_of_another_machine_does_not_matter(
    data: AttentionData, write_pickle: Callable[..., Path], as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    loaded = load_attention_pickle(write_pickle(as_tuple(y=data.y.astype(">i4"), t=times(data).astype(">f8"))))
    np.testing.assert_array_equal(loaded.y, data.y)
    np.testing.assert_array_equal(loaded.t_s, data.t_s)
