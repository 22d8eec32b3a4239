"""Unpickles without running any code: every object becomes a stub. `decoding` makes arrays of the stubs.

A pickle is a program that calls functions by name. Only the names that pandas and numpy write are allowed here. Each of
them creates a `PickleStub`, which stores the arguments and the state of the call. No constructor of numpy, pandas or
pyarrow receives an argument from the file.

`joblib.dump` writes the bytes of an array into the pickle, after a `NumpyArrayWrapper` that describes them.
`JoblibArray` reads them.

Source: the names were recorded from files written by pandas 1.3 to 3.1 with pickle protocols 4 and 5, and by joblib.
"""

import io
import math
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any, BinaryIO, ClassVar, Self

from urgency_dagster.errors import AttentionError

REMEDY = "write the tuple again as plain pandas and numpy data, with pandas 1.3 or later"

ALLOWED: Mapping[tuple[str, str], str] = {
    ("builtins", "slice"): "slice",
    ("builtins", "bytearray"): "bytearray",
    ("functools", "partial"): "partial",
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    ("numpy.core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("pandas._libs.internals", "_unpickle_block"): "block",
    ("pandas.core.internals.blocks", "new_block"): "new_block",
    ("pandas.core.internals.managers", "BlockManager"): "BlockManager",
    ("pandas.core.frame", "DataFrame"): "DataFrame",
    ("pandas", "DataFrame"): "DataFrame",
    ("pandas.core.series", "Series"): "Series",
    ("pandas", "Series"): "Series",
    ("pandas.core.internals.managers", "SingleBlockManager"): "SingleBlockManager",
    ("pandas.core.indexes.base", "_new_Index"): "new_index",
    ("pandas.core.indexes.base", "Index"): "Index",
    ("pandas.core.indexes.numeric", "Int64Index"): "Index",
    ("pandas", "Index"): "Index",
    ("pandas.core.indexes.range", "RangeIndex"): "RangeIndex",
    ("pandas", "RangeIndex"): "RangeIndex",
    ("pandas", "StringDtype"): "StringDtype",
    ("pandas.arrays", "ArrowStringArray"): "ArrowStringArray",
    ("pandas.arrays", "StringArray"): "StringArray",
    ("pyarrow.lib", "_restore_array"): "restore_array",
    ("pyarrow.lib", "py_buffer"): "py_buffer",
    ("pyarrow.lib", "type_for_alias"): "type_for_alias",
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): "array_backed",
    ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp"): "timestamp",
    ("pandas.core.indexes.datetimes", "_new_DatetimeIndex"): "new_datetime_index",
    ("pandas.core.indexes.datetimes", "DatetimeIndex"): "DatetimeIndex",
    ("pandas", "DatetimeIndex"): "DatetimeIndex",
    ("pandas.core.arrays.datetimes", "DatetimeArray"): "DatetimeArray",
    ("pandas.arrays", "DatetimeArray"): "DatetimeArray",
    ("pandas.core.dtypes.dtypes", "DatetimeTZDtype"): "DatetimeTZDtype",
    ("pandas", "DatetimeTZDtype"): "DatetimeTZDtype",
    ("pytz", "FixedOffset"): "FixedOffset",
    ("pytz", "_UTC"): "utc",
    ("pytz", "_p"): "named_zone",
    ("datetime", "timezone"): "timezone",
    ("datetime", "timedelta"): "timedelta",
}
"""The allowed (module, name) pairs, and the kind of stub of each. Names of several versions share a kind."""

JOBLIB_ARRAY = ("joblib.numpy_pickle", "NumpyArrayWrapper")
"""The (module, name) of an array that joblib wrote. Source: `joblib/numpy_pickle.py`, joblib 0.10 to 1.6."""

_LEVELS = (
    "this may be the intermediate proc.pkl: take the file that is named after the label; "
    "otherwise write X with one level of column names and of rows, as the original does"
)

_RECOGNISED: Mapping[str, str] = {
    "pandas.core.indexes.multi.MultiIndex": _LEVELS,
    "pandas.MultiIndex": _LEVELS,
    "builtins.getattr": "write date_times with a fixed offset such as +09:00, or leave them out",
    "pandas._libs.tslibs.timestamps.Timestamp": "pandas 1.1 or older wrote this; write it again with 1.3 or later",
    "cloudpickle.cloudpickle._make_skeleton_class": "this may be the result of a fold; take the file with the features",
    "zoneinfo.ZoneInfo": "write date_times with a fixed offset such as +09:00, or leave them out",
}
"""Remedies for well-known files of another type, by a name that they contain."""

# The exceptions of unpickling and decoding for truncated or invalid bytes.
_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class PickleStub:
    """A placeholder for one object of the pickle. It has no behaviour.

    Attributes:
        kind: one of the values of `ALLOWED`.
        arguments: the arguments of its constructor.
        state: the state that the pickle sets, or None.
    """

    __slots__ = ("arguments", "state")
    kind: ClassVar[str] = ""
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> Self:
        """Stores the arguments of a call."""
        stub = super().__new__(cls)
        stub.arguments, stub.state = arguments, None
        return stub

    # Without this method the pickle could set attributes of the object and of its class.
    def __setstate__(self, state: Any) -> None:
        self.state = state


class PartialStub(PickleStub):
    """`functools.partial(new_block, ndim=2)`, which pandas 1.3 writes and calls for each block of a table."""

    __slots__ = ()
    kind = "partial"

    def __call__(self, *arguments: Any) -> PickleStub:
        """The stub of a block."""
        function, *_ = self.state
        if function is not stub_class("new_block"):
            raise AttentionError("the pickle uses functools.partial of another function", "new_block", REMEDY)
        return stub_class("new_block")(*arguments)


@cache
def stub_class(kind: str) -> type[PickleStub]:
    """The stub class of one kind; the same kind always gives the same class."""
    if kind == PartialStub.kind:
        return PartialStub
    return type(kind, (PickleStub,), {"__slots__": (), "kind": kind})


def type_name(value: Any) -> str:
    """The type of a value, or of the object that a stub stands for."""
    if not isinstance(value, PickleStub):
        return type(value).__name__
    return "ndarray" if value.kind in ("reconstruct", "frombuffer") else value.kind


class JoblibArray(PickleStub):
    """An array that joblib wrote. It looks like the stub of `numpy.core.numeric._frombuffer`.

    Source: `NumpyArrayWrapper.write_array` of joblib.
    """

    __slots__ = ()
    kind = "frombuffer"
    stream: ClassVar[BinaryIO]
    """The stream of the pickle. The bytes of the array follow its description."""

    def __setstate__(self, state: Any) -> None:
        dtype, shape = state["dtype"], state["shape"]
        code = dtype.arguments[0]
        if code.startswith("O"):
            # joblib writes objects as a pickle of its own, without joblib's arrays.
            _, shape, dtype, fortran, data = DataUnpickler(_unbuffered(self.stream)).load().state
            self.arguments = (data, dtype, shape, "F" if fortran else "C")
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            _read(self.stream, _read(self.stream, 1)[0])
        size = math.prod(shape) * int(code[1:]) * (4 if code.startswith("U") else 1)
        self.arguments = (_read(self.stream, size), dtype, shape, state["order"])


def _read(stream: BinaryIO, size: int) -> bytes:
    """The next bytes. A read of more than the file holds would reserve all of them first."""
    start = stream.tell()
    left = stream.seek(0, io.SEEK_END) - start
    stream.seek(start)
    if not 0 <= size <= left:
        raise EOFError("an array is longer than the file")
    return stream.read(size)


def _unbuffered(stream: BinaryIO) -> Any:
    """The stream without `peek`, with which an unpickler would read beyond the end of a pickle into an array."""
    return SimpleNamespace(read=stream.read, readline=stream.readline)


class DataUnpickler(pickle.Unpickler):
    """An unpickler that allows the names of plain pandas and numpy data only."""

    arrays: type[PickleStub] | None = None
    """The stub class of joblib's arrays, or None if they are refused."""

    def find_class(self, module: str, name: str) -> type[PickleStub]:
        """The stub class of an allowed name.

        Raises:
            AttentionError: the name is not in `ALLOWED`.
        """
        if self.arrays is not None and (module, name) == JOBLIB_ARRAY:
            return self.arrays
        kind = ALLOWED.get((module, name))
        if kind is None:
            received = f"{module}.{name}"
            expected = "pandas and numpy data only"
            raise AttentionError(f"the pickle names {received}", expected, _RECOGNISED.get(received, REMEDY))
        return stub_class(kind)

    def persistent_load(self, pid: Any) -> Any:
        """Refuses a reference to an object outside the file.

        Raises:
            AttentionError: always.
        """
        raise AttentionError(f"the pickle refers to an object outside the file ({type(pid).__name__})", "data", REMEDY)


@contextmanager
def damage_refused() -> Iterator[None]:
    """Turns the exceptions of invalid bytes into an AttentionError. A MemoryError passes unchanged."""
    try:
        yield
    except _DAMAGE as error:
        raise AttentionError(f"the pickle is damaged ({type(error).__name__})", "a complete file", REMEDY) from error


@damage_refused()
def load_data(stream: BinaryIO) -> Any:
    """The content of a pickle: plain Python values, and a `PickleStub` for every other object.

    Args:
        stream: a seekable file of `pickle.dump` or of `joblib.dump`.

    Raises:
        AttentionError: the pickle names an object outside `ALLOWED`, or its bytes are damaged.
        MemoryError: the memory is not enough.
    """
    unpickler = DataUnpickler(_unbuffered(stream))
    unpickler.arrays = type("JoblibArray", (JoblibArray,), {"__slots__": (), "stream": stream})
    return unpickler.load()
