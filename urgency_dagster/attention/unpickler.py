"""Unpickling of data only: the exact names that pandas and numpy write, each resolved to a harmless callable.

What the pickle has to contain is not checked here (see `pickles`). A pickle is a program; this one may name only the
constructors of arrays, tables and time stamps. Where a writer's own constructor can be called with hostile arguments
(`numpy.ndarray` over a foreign buffer, `functools.partial` of anything), a stand-in that can only do the one wanted
thing takes its place.

Source: the names were recorded from files written by pandas 1.3 to 3.1 with pickle protocols 4 and 5.
"""

import pickle
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from urgency_dagster.errors import AttentionError

REMEDY = "write the tuple again as plain pandas and numpy data, with pandas 1.3 or later"


def _empty_array(*_: object) -> "np.ndarray[Any, Any]":
    """The empty array that pickle fills in next; the shape and type that the file asks for are ignored."""
    return np.empty((0,), dtype="b")


def _restored_arrow_array(state: Any) -> Any:
    """An Arrow array whose offsets are checked against its buffers before anybody reads through them."""
    from pyarrow.lib import _restore_array

    array = _restore_array(state)
    array.validate(full=True)
    return array


class _BlockOf13:
    """Stands in for `functools.partial(new_block, ndim=...)`, as pandas 1.3 wrote the blocks of a table."""

    def __init__(self, *_: object) -> None:
        self.ndim = 2

    def __setstate__(self, state: tuple[object, object, Mapping[str, int], object]) -> None:
        self.ndim = int(state[2]["ndim"])

    def __call__(self, values: Any, placement: Any) -> Any:
        return import_module("pandas._libs.internals")._unpickle_block(values, placement, self.ndim)


_STAND_INS: Mapping[tuple[str, str], Callable[..., Any] | str] = {
    # Named only as an argument of _reconstruct; calling it with a buffer would read arbitrary memory.
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("pyarrow.lib", "_restore_array"): _restored_arrow_array,
    ("functools", "partial"): _BlockOf13,
    ("pandas.core.internals.blocks", "new_block"): "pandas.core.internals.blocks.new_block",
}

_ADMITTED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("builtins", "slice"): ("builtins", "slice"),
    ("builtins", "bytearray"): ("builtins", "bytearray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("numpy.core.numeric", "_frombuffer"): ("numpy._core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"): ("numpy._core.numeric", "_frombuffer"),
    ("pandas._libs.internals", "_unpickle_block"): ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.internals.managers", "BlockManager"): ("pandas.core.internals.managers", "BlockManager"),
    ("pandas.core.frame", "DataFrame"): ("pandas", "DataFrame"),
    ("pandas", "DataFrame"): ("pandas", "DataFrame"),
    ("pandas.core.indexes.base", "_new_Index"): ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.base", "Index"): ("pandas", "Index"),
    ("pandas.core.indexes.numeric", "Int64Index"): ("pandas", "Index"),
    ("pandas", "Index"): ("pandas", "Index"),
    ("pandas.core.indexes.range", "RangeIndex"): ("pandas", "RangeIndex"),
    ("pandas", "RangeIndex"): ("pandas", "RangeIndex"),
    ("pandas", "StringDtype"): ("pandas", "StringDtype"),
    ("pandas.arrays", "ArrowStringArray"): ("pandas.arrays", "ArrowStringArray"),
    ("pyarrow.lib", "py_buffer"): ("pyarrow.lib", "py_buffer"),
    ("pyarrow.lib", "type_for_alias"): ("pyarrow.lib", "type_for_alias"),
    ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp"): (
        "pandas._libs.tslibs.timestamps",
        "_unpickle_timestamp",
    ),
    ("pandas.core.indexes.datetimes", "_new_DatetimeIndex"): ("pandas.core.indexes.datetimes", "_new_DatetimeIndex"),
    ("pandas.core.indexes.datetimes", "DatetimeIndex"): ("pandas", "DatetimeIndex"),
    ("pandas", "DatetimeIndex"): ("pandas", "DatetimeIndex"),
    ("pandas.core.arrays.datetimes", "DatetimeArray"): ("pandas.arrays", "DatetimeArray"),
    ("pandas.arrays", "DatetimeArray"): ("pandas.arrays", "DatetimeArray"),
    ("pandas.core.dtypes.dtypes", "DatetimeTZDtype"): ("pandas", "DatetimeTZDtype"),
    ("pandas", "DatetimeTZDtype"): ("pandas", "DatetimeTZDtype"),
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
    ("pytz", "FixedOffset"): ("pytz", "FixedOffset"),
    ("pytz", "_UTC"): ("pytz", "_UTC"),
    ("pytz", "_p"): ("pytz", "_p"),
    ("datetime", "timezone"): ("datetime", "timezone"),
    ("datetime", "timedelta"): ("datetime", "timedelta"),
}
"""The (module, name) pairs that a file may ask for, and where each of them is found today."""

# What unpickling raises on bytes that are cut short, or that call an admitted constructor with nonsense.
_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class DataUnpickler(pickle.Unpickler):
    """An unpickler that knows the names of plain pandas and numpy data and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        """The admitted callable of that exact name.

        Raises:
            AttentionError: the pair is not on the list.
        """
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        if (module, name) not in _ADMITTED:
            raise AttentionError(f"the pickle asks for {module}.{name}", "nothing but pandas and numpy data", REMEDY)
        module, name = _ADMITTED[module, name]
        return getattr(import_module(module), name)


def load_data(stream: BinaryIO) -> Any:
    """The object in a pickle of plain pandas and numpy data.

    Raises:
        AttentionError: the pickle asks for a name that is not admitted, or its bytes are damaged.
    """
    try:
        return DataUnpickler(stream).load()
    except _DAMAGE as error:
        raise AttentionError(f"the pickle is damaged ({type(error).__name__})", "a whole file", REMEDY) from error
