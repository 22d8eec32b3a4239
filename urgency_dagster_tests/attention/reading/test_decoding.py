import io
import pickle
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from urgency_dagster.attention.reading.decoding import decoded_array, decoded_table, decoded_timestamps
from urgency_dagster.attention.reading.unpickler import load_data
from urgency_dagster.errors import AttentionError

PLAIN = npst.boolean_dtypes() | npst.integer_dtypes() | npst.unsigned_integer_dtypes() | npst.floating_dtypes()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def stubbed(value: object, protocol: int = 5) -> Any:
    return load_data(io.BytesIO(pickle.dumps(value, protocol)))


def seconds_of(value: object, protocol: int) -> list[float]:
    seconds = decoded_timestamps(stubbed(value, protocol))
    assert seconds is not None
    return list(seconds.tolist())


@given(npst.arrays(PLAIN, npst.array_shapes(max_dims=2, min_side=0)), st.integers(3, 5), st.booleans())
def test_any_plain_array_comes_back(array: np.ndarray, protocol: int, transposed: bool) -> None:
    array = array.T if transposed else array
    decoded = decoded_array(stubbed(array, protocol))
    assert decoded.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(decoded, array)


@given(npst.arrays(npst.unicode_string_dtypes(max_len=5), st.integers(0, 4)), st.integers(3, 5))
def test_any_array_of_texts_comes_back(array: np.ndarray, protocol: int) -> None:
    assert decoded_array(stubbed(array, protocol)).tolist() == array.tolist()


@pytest.mark.parametrize("value", [None, 7, "text", [1, 2], (1,), {}])
def test_other_values_are_returned_unchanged(value: object) -> None:
    assert decoded_array(stubbed(value)) == value


@given(st.lists(TEXTS, min_size=1, max_size=6, unique=True), st.integers(3, 5), st.booleans())
def test_any_table_comes_back(names: list[str], protocol: int, as_objects: bool) -> None:
    X = pd.DataFrame({name: np.arange(3, dtype="float32") + i for i, name in enumerate(names)})
    X[names[0]] = X[names[0]] > 1
    if as_objects:
        X.columns = X.columns.astype(object)
    decoded = decoded_table(stubbed(X, protocol))
    assert list(decoded) == names
    for name in names:
        assert decoded[name].dtype == X[name].dtype
        assert decoded[name].tolist() == X[name].tolist()


@pytest.mark.parametrize("rows", [[5, 6, 9], ["x", "y", "z"], [0.5, 1.5, 2.5]], ids=str)
def test_row_labels_do_not_matter(rows: Any) -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=rows)
    assert decoded_table(stubbed(X)).index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_timestamps_of_every_unit_are_decoded_to_local_seconds(
    unit: Literal["s", "ms", "us", "ns"], protocol: int
) -> None:
    index = pd.DatetimeIndex(["2019-04-30 10:00", "2019-05-01 00:00:30"]).as_unit(unit).tz_localize("+09:00")
    expected = [(stamp.tz_localize(None) - pd.Timestamp(0)).total_seconds() for stamp in index]
    assert seconds_of(index, protocol) == expected
    assert seconds_of(np.array(list(index), dtype=object), protocol) == expected


def test_timestamps_before_1970_and_behind_utc_are_decoded() -> None:
    index = pd.DatetimeIndex(["1969-12-31 22:00"]).tz_localize("-03:30")
    assert seconds_of(index, 5) == [-7200.0]


def test_a_missing_timestamp_is_refused() -> None:
    stamps = np.array([pd.Timestamp("2019-04-30", tz="UTC"), None], dtype=object)
    with pytest.raises(AttentionError, match="damaged"):
        decoded_timestamps(stubbed(stamps))


def test_a_table_of_pandas_before_1_3_is_refused() -> None:
    written = stubbed(pd.DataFrame({"a": [1.0]}))
    written.state["_mgr"].arguments = ()
    with pytest.raises(AttentionError, match=r"layout of pandas before 1\.3"):
        decoded_table(written)
