"""Files that people have: what is read with a warning, and what is refused by what it is."""

import bz2
import gzip
import io
import os
import pickle
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from urgency_dagster.attention.reading.casts import cast_features
from urgency_dagster.attention.reading.containers import content_of
from urgency_dagster.attention.reading.pickles import AttentionData, load_attention_pickle
from urgency_dagster.errors import AttentionError

Build = Callable[..., tuple[object, ...]]


def same_as(data: AttentionData, loaded: AttentionData) -> None:
    pd.testing.assert_frame_equal(loaded.X, data.X)
    np.testing.assert_array_equal(loaded.y, data.y)
    np.testing.assert_array_equal(loaded.groups, data.groups)


LOSSLESS: dict[str, tuple[Callable[[AttentionData], dict[str, Any]], str]] = {
    "y of floats": (lambda d: {"y": d.y.astype(float)}, "y was cast from float64 to int64 without loss"),
    "y as a list": (lambda d: {"y": d.y.tolist()}, "y is a list and was read as an array"),
    "y of one column": (lambda d: {"y": d.y[:, None]}, "y has one column and was read as an array of one dimension"),
    "groups as a list": (lambda d: {"groups": d.groups.tolist()}, "group is a list and was read as an array"),
    "float64": (
        lambda d: {"X": d.X.astype({"HRT#VAL": "float64"})},
        "1 columns of X were cast to float32 without loss",
    ),
}


@pytest.mark.parametrize("case", LOSSLESS)
def test_what_loses_nothing_is_cast_and_named(
    data: AttentionData, as_tuple: Build, write_pickle: Callable[..., Path], case: str
) -> None:
    change, warning = LOSSLESS[case]
    loaded = load_attention_pickle(write_pickle(as_tuple(**change(data))))
    same_as(data, loaded)
    assert loaded.warnings == (warning,)


def test_whole_numbers_are_participants(
    data: AttentionData, as_tuple: Build, write_pickle: Callable[..., Path]
) -> None:
    numbers = np.array([int(group[1:]) for group in data.groups])
    loaded = load_attention_pickle(write_pickle(as_tuple(groups=numbers)))
    np.testing.assert_array_equal(loaded.groups, numbers.astype(str))
    assert loaded.warnings == ("group was cast from int64 to text without loss",)


def test_columns_of_whole_numbers_are_numeric_as_in_the_original(
    data: AttentionData, as_tuple: Build, write_pickle: Callable[..., Path]
) -> None:
    """Source: `extract` of the originals casts every column that is not bool or object to float32."""
    X = data.X.astype({"ESM#DOW=MON": "int64", "DST_MOT#VAL=IDLE": "uint8"})
    loaded = load_attention_pickle(write_pickle(as_tuple(X=X)))
    assert {str(loaded.X[name].dtype) for name in ("ESM#DOW=MON", "DST_MOT#VAL=IDLE")} == {"float32"}
    assert loaded.warnings == ("2 columns of X were cast to float32 without loss",)


@given(arrays(st.sampled_from(["float64", "int64", "uint64", "int8", "float16"]), st.integers(1, 5)))
def test_a_cast_never_changes_a_number(values: np.ndarray) -> None:
    warnings: list[str] = []
    cast = cast_features(pd.DataFrame({"a": values}), warnings)["a"].to_numpy()
    assert (cast.dtype == np.float32) == bool(warnings)
    assert all(a == b or (a != a and b != b) for a, b in zip(values.tolist(), cast.tolist(), strict=True))


@pytest.mark.parametrize("number", [2**24 + 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_a_whole_number_that_float32_rounds_is_not_cast(number: int) -> None:
    """As float64, 2**53 + 1 is rounded too, so a comparison alone does not see it."""
    X = pd.DataFrame({"a": np.array([1, number], np.int64)})
    warnings: list[str] = []
    assert cast_features(X, warnings) is X
    assert warnings == []


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_bomb_is_left_at_the_limit(compress: Callable[[bytes], bytes]) -> None:
    bomb = io.BytesIO(compress(bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(AttentionError, match="the decompressed file is too large; expected at most 1,000,000 bytes"):
        content_of(bomb, 1_000_000, [])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("value", [0.5, 1.5, np.nan])
def test_a_label_that_is_no_whole_number_is_refused(
    data: AttentionData, as_tuple: Build, write_pickle: Callable[..., Path], value: float
) -> None:
    y = data.y.astype(float)
    y[3] = value
    with pytest.raises(AttentionError, match="y "):
        load_attention_pickle(write_pickle(as_tuple(y=y)))


@pytest.mark.parametrize("protocol", [4, 5])
def test_series_are_arrays(
    data: AttentionData, as_tuple: Build, write_pickle: Callable[..., Path], protocol: int
) -> None:
    index = np.arange(len(data.y)) * 7
    series = {"y": pd.Series(data.y, index), "groups": pd.Series(data.groups, index), "t": pd.Series(data.t_s)}
    loaded = load_attention_pickle(write_pickle(as_tuple(**series), protocol=protocol))
    same_as(data, loaded)
    np.testing.assert_array_equal(np.asarray(loaded.t_s), np.asarray(data.t_s))
    assert loaded.warnings == ()


def test_a_list_is_a_tuple(data: AttentionData, as_tuple: Build, write_pickle: Callable[..., Path]) -> None:
    loaded = load_attention_pickle(write_pickle(list(as_tuple())))
    same_as(data, loaded)
    assert loaded.warnings == ("the pickle holds a list, which was read as a tuple",)


def test_gzip_is_decompressed(data: AttentionData, as_tuple: Build, tmp_path: Path) -> None:
    path = tmp_path / "attention.pkl"
    path.write_bytes(gzip.compress(pickle.dumps(as_tuple())))
    loaded = load_attention_pickle(path)
    same_as(data, loaded)
    assert loaded.warnings == ("the file is compressed by gzip and was decompressed",)
    path.write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(AttentionError, match="the decompressed file is too large; expected at most 5,000 bytes"):
        load_attention_pickle(path, max_bytes=5000)


@pytest.mark.parametrize(
    ("compress", "kind"), [(0, ""), (1, "zlib"), (3, "zlib"), (9, "zlib"), (("gzip", 3), "gzip")], ids=str
)
@pytest.mark.parametrize("groups", [str, object])
def test_joblib_writes_what_pickle_writes(
    data: AttentionData, as_tuple: Build, tmp_path: Path, compress: Any, kind: str, groups: type
) -> None:
    """Source: `joblib.dump` itself writes the file."""
    path = tmp_path / "attention.pkl"
    joblib.dump(as_tuple(groups=data.groups.astype(groups)), path, compress=compress)
    loaded = load_attention_pickle(path)
    same_as(data, loaded)
    np.testing.assert_array_equal(np.asarray(loaded.t_s), np.asarray(data.t_s))
    assert loaded.warnings == ((f"the file is compressed by {kind} and was decompressed",) if kind else ())


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_joblib_of_each_protocol_and_order_loads(
    data: AttentionData, as_tuple: Build, tmp_path: Path, protocol: int
) -> None:
    path = tmp_path / "attention.pkl"
    X = pd.DataFrame(np.asfortranarray(data.X.astype("float32").to_numpy()), columns=data.X.columns)
    joblib.dump(as_tuple(X=X), path, protocol=protocol)
    pd.testing.assert_frame_equal(load_attention_pickle(path).X, X)


def test_joblib_files_are_cut_or_decompressed_within_limits(data: AttentionData, tmp_path: Path) -> None:
    path = tmp_path / "attention.pkl"
    joblib.dump(np.zeros(100_000), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(AttentionError, match=r"the pickle is damaged \(EOFError\)"):
        load_attention_pickle(path)
    joblib.dump(np.zeros(1_000_000), path, compress=3)
    with pytest.raises(AttentionError, match="the decompressed file is too large"):
        load_attention_pickle(path, max_bytes=100_000)


class Runs:
    """Reading it with pickle or joblib would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    "hide", [lambda runs: runs, lambda runs: np.array([runs], dtype=object)], ids=["plain", "array"]
)
def test_joblib_runs_nothing(tmp_path: Path, hide: Callable[[Any], Any]) -> None:
    path = tmp_path / "attention.pkl"
    joblib.dump((1, 2, hide(Runs(tmp_path / "made"))), path)
    with pytest.raises(AttentionError, match=r"the pickle names \w+\.mkdir"):
        load_attention_pickle(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("names", [("y", "group", "t"), ("label", "pcode", "t_s")])
def test_parquet_with_label_participant_and_time(data: AttentionData, tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "attention.pkl"
    data.X.assign(**dict(zip(names, (data.y, data.groups, data.t_s), strict=True))).to_parquet(path)
    loaded = load_attention_pickle(path)
    same_as(data, loaded)
    np.testing.assert_array_equal(np.asarray(loaded.t_s), np.asarray(data.t_s))


def test_parquet_that_is_too_large_is_refused_unread() -> None:
    """Zeros take a few bytes in the file; the size in its metadata counts."""
    stream = io.BytesIO()
    pd.DataFrame({"a": np.zeros(100_000, np.float32)}).to_parquet(stream, use_dictionary=False, compression="zstd")
    assert stream.tell() < 10_000
    stream.seek(0)
    assert len(content_of(stream, 1_000_000, [])) == 100_000
    stream.seek(0)
    with pytest.raises(AttentionError, match=r"X takes [\d,]+ bytes; expected at most 100,000"):
        content_of(stream, 100_000, [])


def test_parquet_of_features_alone_says_what_is_missing(data: AttentionData, tmp_path: Path) -> None:
    path = tmp_path / "attention.pkl"
    data.X.to_parquet(path)
    with pytest.raises(AttentionError, match="no column y or no column group; expected X with the columns y and group"):
        load_attention_pickle(path)


PLAIN = pickle.dumps((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"PK\3\4" + bytes(50), "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (bz2.compress(PLAIN), "compressed by bzip2"),
        (zlib.compress(PLAIN)[:-9], r"the zlib file is damaged \(EOFError\)"),
        (b"\x78\x9c" + bytes(50), r"the zlib file is damaged \(error\)"),
        (b"\x93NUMPY" + bytes(50), "a NumPy array"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (gzip.compress(PLAIN)[:-9], r"the gzip file is damaged \(EOFError\)"),
        (b"PAR1" + bytes(50), "the Parquet file is damaged"),
    ],
    ids=["empty", "zip", "lfs", "bzip2", "zlib", "zlib noise", "numpy", "html", "gzip", "parquet"],
)
def test_other_files_are_refused_by_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "attention.pkl"
    path.write_bytes(content)
    with pytest.raises(AttentionError, match=said):
        load_attention_pickle(path)
