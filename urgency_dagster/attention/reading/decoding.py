"""Decodes the stubs of a pickle into arrays, a table and timestamps. `pickles` checks their values.

Everything is built from raw bytes and numbers. A length that contradicts the bytes, a repeated column, or an offset
outside its text counts as damage. Decoders raise Python's usual exceptions; `damage_refused` turns them into one error.

Source: the layout was recorded from files written by pandas 1.3 to 3.1 with pickle protocols 4 and 5.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.unpickler import REMEDY, PickleStub, damage_refused, stub_class, type_name
from urgency_dagster.errors import AttentionError

_PLAIN_TYPE = re.compile(r"[biufU]\d+|O8?|M8")

_NS_OF_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

_UNIT_OF_CODE = {7: "s", 8: "ms", 9: "us", 10: "ns"}
"""Units by their NPY_DATETIMEUNIT code. Source: pandas writes the code with each Timestamp since 2.0."""

_MAX_CODE_POINT = 0x10FFFF
"""The last Unicode code point."""

_OFFSETS: dict[Any, np.dtype] = {"string": np.dtype("<i4"), "large_string": np.dtype("<i8")}


@damage_refused()
def decoded_array(value: Any) -> Any:
    """The (N,) or (N, M) array that a stub of an array or a Series describes; any other value is returned unchanged.

    Raises:
        AttentionError: shape, dtype and bytes contradict each other.
    """
    if isinstance(value, PickleStub) and value.kind == "Series":
        return _series_values(value)
    return _array(value) if _is_array(value) else value


def _series_values(series: PickleStub) -> np.ndarray:
    """The (N,) values of a Series. Its index and name are not read."""
    manager = series.state["_mgr"]
    if manager.kind != "SingleBlockManager":
        raise TypeError("not a Series")
    (block,) = manager.state[-1]["0.14.1"]["blocks"]
    values = block["values"]
    if values.kind == "ArrowStringArray":
        return np.array(_arrow_texts(values.state["_pa_array"]), dtype=object)
    return _array(values.state[1] if values.kind == "array_backed" else values)


def _is_array(value: Any) -> bool:
    return isinstance(value, PickleStub) and value.kind in ("reconstruct", "frombuffer")


def _array(value: Any) -> np.ndarray:
    if not _is_array(value):
        raise TypeError("not an array")
    if value.kind == "frombuffer":
        data, dtype, shape, order = value.arguments
    else:
        _, shape, dtype, fortran, data = value.state
        order = "F" if fortran else "C"
    if not (isinstance(shape, tuple) and len(shape) in (1, 2) and all(type(n) is int and n >= 0 for n in shape)):
        raise ValueError("not a shape")
    return _flat_values(_dtype(dtype), data).reshape(shape, order=order)


def _dtype(value: Any) -> np.dtype:
    if not isinstance(value, PickleStub) or value.kind != "dtype" or not _PLAIN_TYPE.fullmatch(value.arguments[0]):
        raise ValueError("not a plain dtype")
    _, byte_order, *_ = value.state
    if not value.arguments[0].startswith("M8"):
        dtype: np.dtype = np.dtype(value.arguments[0]).newbyteorder(byte_order)
        return dtype
    unit, count, *_ = value.state[-1][1]
    if unit.decode() not in _NS_OF_UNIT or count != 1:
        raise ValueError("not a plain unit of time")
    return np.dtype(f"{byte_order}M8[{unit.decode()}]")


def _flat_values(dtype: np.dtype, data: Any) -> np.ndarray:
    """(N,) values in this machine's byte order; objects stay stubs."""
    if dtype.kind == "O":
        if type(data) is not list:
            raise TypeError("objects are not in a list")
        flat = np.empty(len(data), dtype=object)
        for i, item in enumerate(data):
            flat[i] = item
        return flat
    raw = _bytes(data)
    if dtype.kind == "b" and np.frombuffer(raw, np.uint8).max(initial=0) > 1:
        raise ValueError("a bool is neither 0 nor 1")
    if dtype.kind == "U" and np.frombuffer(raw, f"{dtype.byteorder}u4").max(initial=0) > _MAX_CODE_POINT:
        raise ValueError("a code point is above the maximum")
    return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="), copy=False)


def _bytes(data: Any) -> bytes | bytearray:
    if isinstance(data, PickleStub) and data.kind in ("bytearray", "py_buffer"):
        return _bytes(*data.arguments) if data.arguments else b""
    if not isinstance(data, bytes | bytearray):
        raise TypeError("not bytes")
    return data


@damage_refused()
def decoded_table(value: Any) -> pd.DataFrame:
    """The DataFrame that a stub describes, with its columns in order and a RangeIndex.

    Raises:
        AttentionError: the value is not a DataFrame, was written by pandas before 1.3, or its parts contradict each
            other.
    """
    if not isinstance(value, PickleStub) or value.kind != "DataFrame":
        raise AttentionError(f"element 1 is a {type_name(value)}", "a pandas DataFrame", REMEDY)
    manager = value.state.get("_mgr")
    if not isinstance(manager, PickleStub) or not manager.arguments:
        raise AttentionError("X has the layout of pandas before 1.3", "the layout of pandas 1.3 or later", REMEDY)
    blocks, (column_axis, _) = manager.arguments
    values = [_block_values(block) for block in blocks]
    width = sum(map(len, values))
    names = _labels(column_axis)
    if len(names) != width:
        raise ValueError("numbers of names and columns differ")
    columns: list[Any] = [None] * width
    for block, rows in zip(blocks, values, strict=True):
        for place, row in zip(_places(block.arguments[1], width), rows, strict=True):
            if columns[place] is not None:
                raise ValueError("a column occurs twice")
            columns[place] = row
    table = pd.DataFrame(dict(enumerate(columns)), copy=False)
    table.columns = pd.Index(list(names), tupleize_cols=False)
    return table


def _block_values(block: Any) -> np.ndarray:
    """The (columns, rows) values of one block."""
    if block.kind not in ("block", "new_block"):
        raise TypeError("not a block")
    values = block.arguments[0]
    if values.kind == "ArrowStringArray":
        return np.array([_arrow_texts(values.state["_pa_array"])], dtype=object)
    # Text and times are not features. They are decoded so that an error can name their columns.
    return np.atleast_2d(_array(values.state[1] if values.kind == "array_backed" else values))


def _places(placement: Any, width: int) -> Sequence[int]:
    """The column numbers of one block."""
    if isinstance(placement, PickleStub) and placement.kind == "slice":
        return range(*slice(*placement.arguments).indices(width))
    columns: list[int] = decoded_array(placement).tolist()
    return columns


def _labels(axis: Any) -> Sequence[Any]:
    """The labels of an axis."""
    if axis.kind != "new_index":
        raise TypeError("not an index")
    kind, state = axis.arguments
    if kind is stub_class("RangeIndex"):
        return range(state["start"], state["stop"], state["step"])
    data = state["data"]
    if data.kind == "ArrowStringArray":
        return _arrow_texts(data.state["_pa_array"])
    labels: list[Any] = _array(data.state[1] if data.kind == "array_backed" else data).tolist()
    return labels


@damage_refused()
def decoded_names(value: Any) -> list[str]:
    """The texts of a list, an array or an Index; an empty list for None.

    Raises:
        AttentionError: the value is of another kind, or holds other things than texts.
    """
    array = decoded_array(value)
    names: Any = [] if value is None else array
    if isinstance(value, PickleStub) and value.kind == "new_index":
        names = _labels(value)
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise AttentionError("the names of the columns are not a list of texts", "one text per column", REMEDY)
    return list(names)


def _arrow_texts(value: Any) -> list[str]:
    """The strings of an Arrow array, which stores offsets into one UTF-8 buffer."""
    ((kind, length, nulls, offset, (_, offsets, text), *_),) = value.arguments
    (alias,) = kind.arguments
    if nulls != 0:
        raise ValueError("a string is null")
    content = b"" if text is None else bytes(_bytes(text))
    bounds = np.frombuffer(_bytes(offsets), _OFFSETS[alias])[offset : offset + length + 1].tolist()
    if len(bounds) != length + 1 or bounds != sorted(bounds) or bounds[0] < 0 or bounds[-1] > len(content):
        raise ValueError("an offset is outside the text")
    return [content[start:end].decode() for start, end in pairwise(bounds)]


@damage_refused()
def decoded_timestamps(value: Any) -> np.ndarray | None:
    """(N,) float64 local seconds since 1970 of `date_times`, or None if their offset from UTC is unknown.

    Raises:
        AttentionError: the value does not describe timestamps, or is damaged.
    """
    if isinstance(value, PickleStub) and value.kind == "new_datetime_index":
        return _index_timestamps(value.arguments[1]["data"])
    array = decoded_array(value)
    if isinstance(array, np.ndarray) and array.dtype.kind == "M":
        return None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "O" or array.ndim != 1:
        raise TypeError("not timestamps")
    timestamps = [_timestamp(item) for item in array]
    if None in timestamps:
        return None
    seconds = np.array(timestamps, dtype=np.float64)
    if not np.isfinite(seconds).all():
        raise ValueError("not timestamps")
    return seconds


def _index_timestamps(data: Any) -> np.ndarray | None:
    zone, values = data.state[:2]
    array = _array(values)
    unit = np.datetime_data(array.dtype)[0]
    # The offset of a named time zone depends on the timestamp, so it is unknown here.
    if zone.kind != "DatetimeTZDtype" or zone.state["tz"].kind == "named_zone":
        return None
    seconds = array.astype(np.int64) * (_NS_OF_UNIT[unit] / 10**9)
    return seconds + _offset_s(zone.state["tz"])


def _timestamp(item: Any) -> float | None:
    if not isinstance(item, PickleStub) or item.kind != "timestamp":
        raise TypeError("not a Timestamp")
    count, _, zone, *code = item.arguments
    unit = _UNIT_OF_CODE[code[0]] if code else "ns"
    return None if zone is None else float(count) * _NS_OF_UNIT[unit] / 10**9 + _offset_s(zone)


def _offset_s(zone: PickleStub) -> float:
    """The offset of local time from UTC, in seconds."""
    if zone.kind == "utc":
        return 0.0
    if zone.kind == "FixedOffset":
        return float(zone.arguments[0] * 60.0)
    if zone.kind == "named_zone":
        return float(zone.arguments[1])
    if zone.kind != "timezone":
        raise ValueError("not a time zone")
    days, seconds, _ = zone.arguments[0].arguments
    return float(days) * 86_400 + float(seconds)
