import hashlib

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.pickles import load_attention_pickle
from urgency_dagster.errors import AttentionError


def test_the_originals_five_tuple_loads(data, write_pickle, as_tuple):
    path = write_pickle(as_tuple())
    loaded = load_attention_pickle(path)
    pd.testing.assert_frame_equal(loaded.X, data.X)
    np.testing.assert_array_equal(loaded.y, data.y)
    np.testing.assert_array_equal(loaded.groups, data.groups)
    np.testing.assert_array_equal(loaded.t_s, data.t_s)
    assert loaded.y.dtype == np.int64
    assert loaded.groups.dtype.kind == "U"
    assert loaded.t_s.dtype == np.float64
    assert loaded.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.participants == 10
    assert loaded.warnings == ()


def test_four_elements_and_an_empty_fifth_load(write_pickle, as_tuple):
    assert load_attention_pickle(write_pickle(as_tuple()[:4])).warnings == ()
    assert load_attention_pickle(write_pickle(as_tuple(date_times=None))).warnings == ()


@pytest.mark.parametrize(
    ("t", "said"),
    [
        (np.arange(7.0), "7 values for 300 rows"),
        (np.full(300, np.nan), "no seconds"),
        (np.tile([-3.0, 2.0], 150), "no seconds"),
        (np.array(["x"] * 300), "not a flat array"),
        ([1.0] * 300, "not a flat array"),
    ],
)
def test_unusable_times_are_dropped_with_a_warning(write_pickle, as_tuple, t, said):
    loaded = load_attention_pickle(write_pickle(as_tuple(t=t)))
    assert loaded.t_s is None
    (warning,) = loaded.warnings
    assert said in warning


def test_absent_times_are_no_warning(write_pickle, as_tuple):
    loaded = load_attention_pickle(write_pickle(as_tuple(t=None)))
    assert (loaded.t_s, loaded.warnings) == (None, ())


def test_object_groups_bool_labels_and_any_row_index_are_normalised(data, write_pickle, as_tuple):
    X = data.X.set_index(np.arange(len(data.X)) * 3 + 1)
    value = as_tuple(X=X, y=data.y.astype(bool), groups=data.groups.astype(object))
    loaded = load_attention_pickle(write_pickle(value))
    assert loaded.y.dtype == np.int64
    assert loaded.groups.dtype.kind == "U"
    assert loaded.X.index.equals(pd.RangeIndex(len(X)))


def broken(data, name):
    X = data.X
    return {
        "nan": {"X": X.assign(**{"HRT#VAL": np.float32("nan")})},
        "inf": {"X": X.assign(**{"HRT#VAL": np.float32("inf")})},
        "float64": {"X": X.astype({"HRT#VAL": "float64"})},
        "text": {"X": X.assign(extra="a")},
        "duplicate": {"X": pd.concat([X, X[["HRT#VAL"]]], axis=1)},
        "number as name": {"X": X.rename(columns={"HRT#VAL": 7})},
        "array": {"X": X.to_numpy(dtype="float32")},
        "no column": {"X": X[[]]},
        "short y": {"y": data.y[:-1]},
        "short groups": {"groups": data.groups[:-1]},
        "float y": {"y": data.y.astype(float)},
        "y of 2": {"y": data.y * 2},
        "one class": {"y": np.zeros_like(data.y)},
        "flat y": {"y": data.y.reshape(-1, 1)},
        "list y": {"y": data.y.tolist()},
        "numbers as groups": {"groups": np.arange(len(X))},
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
        ("duplicate", "'HRT#VAL' occurs more than once"),
        ("number as name", "no text"),
        ("array", "element 1 is a ndarray"),
        ("no column", "at least one row and one column"),
        ("short y", "y has 299 values, X has 300 rows"),
        ("short groups", "group has 299 values"),
        ("float y", "y has the dtype float64"),
        ("y of 2", "values 0, 2"),
        ("one class", "values 0;"),
        ("flat y", "one-dimensional"),
        ("list y", "y is a list"),
        ("numbers as groups", "no text"),
        ("few participants", "2 participants; expected at least 5"),
        ("blank group", "no text"),
    ],
)
def test_each_rule_has_its_own_answer(data, write_pickle, as_tuple, name, said):
    with pytest.raises(AttentionError, match=said):
        load_attention_pickle(write_pickle(as_tuple(**broken(data, name))))


@pytest.mark.parametrize(
    ("value", "said"), [((1, 2, 3), "tuple of 3"), ([1] * 5, "holds a list"), ({"X": 1}, "holds a dict")]
)
def test_anything_but_four_or_five_elements_is_refused(write_pickle, value, said):
    with pytest.raises(AttentionError, match=said):
        load_attention_pickle(write_pickle(value))


def test_a_large_file_is_refused_unread(write_pickle, as_tuple):
    path = write_pickle(as_tuple())
    size = path.stat().st_size
    assert load_attention_pickle(path, max_bytes=size).participants == 10
    with pytest.raises(AttentionError, match="bytes; expected at most"):
        load_attention_pickle(path, max_bytes=size - 1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AttentionError, match=r"there is no file attention\.pkl"):
        load_attention_pickle(tmp_path / "attention.pkl")
