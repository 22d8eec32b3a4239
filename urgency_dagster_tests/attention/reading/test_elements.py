"""The arrangements of a landed file: a dict, an array with names, and Parquet with its labels in a second file."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.reading.pickles import AttentionData, load_attention_pickle
from urgency_dagster.attention.reading.sandbox import FeatureConfig, import_pickle
from urgency_dagster.errors import AttentionError
from urgency_dagster.paths import AttentionPaths, StoragePaths
from urgency_dagster.provenance.keys import ATTENTION_SOURCE
from urgency_dagster.provenance.landed import LandedContent

Write = Callable[..., Path]
FROM_DICT = "the pickle holds a dict, which was read as a tuple"


def same_as(data: AttentionData, loaded: AttentionData) -> None:
    pd.testing.assert_frame_equal(loaded.X.astype("float32"), data.X.astype("float32"), check_column_type=False)
    np.testing.assert_array_equal(loaded.y, data.y)
    np.testing.assert_array_equal(loaded.groups, data.groups)
    np.testing.assert_array_equal(np.asarray(loaded.t_s), np.asarray(data.t_s))


def as_dict(data: AttentionData, **changed: Any) -> dict[str, Any]:
    return {"X": data.X, "y": data.y, "group": data.groups, "t": data.t_s, **changed}


def array_of(data: AttentionData) -> np.ndarray:
    values: np.ndarray = data.X.astype("float32").to_numpy()
    return values


@pytest.mark.parametrize("keys", [("y", "group", "t"), ("label", "pcode", "t_s"), ("y", "groups", "t")])
@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump])
def test_a_dict_is_read_by_its_keys(data: AttentionData, tmp_path: Path, dump: Any, keys: tuple[str, ...]) -> None:
    path = tmp_path / "attention.pkl"
    with path.open("wb") as stream:
        dump({"X": data.X, **dict(zip(keys, (data.y, data.groups, data.t_s), strict=True))}, stream)
    loaded = load_attention_pickle(path)
    same_as(data, loaded)
    assert loaded.warnings == (FROM_DICT,)


def test_other_keys_of_a_dict_are_counted(data: AttentionData, write_pickle: Write) -> None:
    loaded = load_attention_pickle(write_pickle(as_dict(data, note="x", date_times=None)))
    assert loaded.warnings == (f"{FROM_DICT}; 1 other keys were not read",)


@pytest.mark.parametrize("missing", ["X", "y", "group"])
def test_a_dict_without_an_element_is_refused(data: AttentionData, write_pickle: Write, missing: str) -> None:
    value = as_dict(data)
    del value[missing]
    with pytest.raises(AttentionError, match="holds a dict; expected a tuple of 4 or 5, or a dict with the keys"):
        load_attention_pickle(write_pickle(value))


@pytest.mark.parametrize("names", [list, tuple, np.array, lambda names: np.array(names, dtype=object), pd.Index])
@pytest.mark.parametrize("key", ["column_names", "columns", "feature_names"])
def test_an_array_has_the_names_of_the_dict(data: AttentionData, write_pickle: Write, names: Any, key: str) -> None:
    value = as_dict(data, X=array_of(data), **{key: names(data.X.columns.tolist())})
    same_as(data, load_attention_pickle(write_pickle(value)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [array_of, lambda data: pd.DataFrame(array_of(data))], ids=["array", "numbered"])
def test_an_array_has_the_names_of_the_option(
    data: AttentionData, as_tuple: Callable[..., Any], write_pickle: Write, paths: AttentionPaths, make: Any
) -> None:
    path = write_pickle(as_tuple(X=make(data)))
    same_as(data, load_attention_pickle(path, column_names=tuple(data.X.columns)))
    summary = import_pickle(path, paths, FeatureConfig(column_names=tuple(data.X.columns)))
    assert summary["features"]["total"] == data.X.shape[1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), r"X is an array of shape \(300, 40\) without names .*column_names: \[\.\.\.\]"),
        (("a", "b"), "2 column_names for 40 columns"),
        (("a",) * 40, "the column 'a' occurs more than once"),
    ],
)
def test_an_array_needs_one_name_per_column(
    data: AttentionData, as_tuple: Callable[..., Any], write_pickle: Write, names: tuple[str, ...], said: str
) -> None:
    assert data.X.shape == (300, 40)
    with pytest.raises(AttentionError, match=said):
        load_attention_pickle(write_pickle(as_tuple(X=array_of(data))), column_names=names)


@pytest.mark.parametrize("names", [7, [1, 2], {"a": 1}, np.arange(40)])
def test_names_are_texts(data: AttentionData, write_pickle: Write, names: Any) -> None:
    with pytest.raises(AttentionError, match="the names of the columns are not a list of texts"):
        load_attention_pickle(write_pickle(as_dict(data, X=array_of(data), column_names=names)))


def test_names_of_a_table_are_not_replaced(data: AttentionData, write_pickle: Write) -> None:
    path = write_pickle(as_dict(data))
    same_as(data, load_attention_pickle(path, column_names=tuple(data.X.columns)))
    with pytest.raises(AttentionError, match="column_names differ from the names in X"):
        load_attention_pickle(path, column_names=tuple(reversed(data.X.columns)))


def land_labels(path: Path, data: AttentionData, rows: int = 300) -> Path:
    labels = path.with_name("attention_labels.parquet")
    pd.DataFrame({"y": data.y, "group": data.groups, "t": data.t_s})[:rows].to_parquet(labels)
    return labels


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "pickle"])
def test_the_labels_may_be_in_a_second_file(
    data: AttentionData, tmp_path: Path, paths: AttentionPaths, kind: str
) -> None:
    path = tmp_path / "attention.pkl"
    data.X.to_parquet(path) if kind == "parquet" else data.X.to_pickle(path)
    with pytest.raises(AttentionError):
        load_attention_pickle(path)
    labels = land_labels(path, data)
    loaded = load_attention_pickle(path, labels=labels)
    same_as(data, loaded)
    assert import_pickle(path, paths)["rows"] == 300


def test_the_labels_fit_the_rows(data: AttentionData, tmp_path: Path) -> None:
    path = tmp_path / "attention.pkl"
    data.X.to_parquet(path)
    with pytest.raises(AttentionError, match="y has 299 values, X has 300 rows"):
        load_attention_pickle(path, labels=land_labels(path, data, 299))
    pd.DataFrame({"y": data.y}).to_parquet(labels := path.with_name("attention_labels.parquet"))
    with pytest.raises(AttentionError, match=r"attention_labels\.parquet has no column y or no column group"):
        load_attention_pickle(path, labels=labels)
    labels.write_bytes(pickle.dumps(1))
    with pytest.raises(AttentionError, match=r"attention_labels\.parquet is not Parquet"):
        load_attention_pickle(path, labels=labels)


@pytest.mark.parametrize("kind", ["tuple", "dict", "parquet"])
def test_labels_in_both_files_are_refused(
    data: AttentionData, as_tuple: Callable[..., Any], write_pickle: Write, kind: str
) -> None:
    path = write_pickle(as_tuple() if kind == "tuple" else as_dict(data))
    if kind == "parquet":
        data.X.assign(y=data.y, group=data.groups).to_parquet(path)
    with pytest.raises(AttentionError, match=r"holds labels, and attention_labels\.parquet lies beside it"):
        load_attention_pickle(path, labels=land_labels(path, data))


def test_the_second_file_is_part_of_the_version(data: AttentionData, tmp_path: Path) -> None:
    storage = StoragePaths(tmp_path)
    storage.attention_pickle.parent.mkdir(parents=True)
    data.X.to_parquet(storage.attention_pickle)
    alone = LandedContent(storage).version(ATTENTION_SOURCE, None)
    land_labels(storage.attention_pickle, data)
    both = LandedContent(storage)
    assert both.version(ATTENTION_SOURCE, None) not in (alone, None)
    assert both.known_version(ATTENTION_SOURCE, None) == both.version(ATTENTION_SOURCE, None)
    sizes = [path.stat().st_size for path in (storage.attention_pickle, storage.attention_labels)]
    assert both.size_bytes(ATTENTION_SOURCE, None) == sum(sizes)
    assert (both.fingerprint(ATTENTION_SOURCE, None) or ([], []))[0] == sizes
