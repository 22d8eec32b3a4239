"""Unpickling without calling anything: what the pickle names is noted, not run. Arrays are made of it in `decoding`.

A pickle is a program that calls what it names. Here it may name only what pandas and numpy write, and even those names
stand for nothing but a note of the arguments and the state that came with them. So no constructor of numpy, pandas or
pyarrow ever sees an argument that the file chose.

Source: the names were recorded from files written by pandas 1.3 to 3.1 with pickle protocols 4 and 5.
"""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, ClassVar, Self

from urgency_dagster.errors import AttentionError

REMEDY = "write the tuple again as plain pandas and numpy data, with pandas 1.3 or later"

ADMITTED: Mapping[tuple[str, str], str] = {
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
"""The (module, name) pairs that a file may ask for, and what each of them is called here, whoever wrote it."""

_RECOGNISED: Mapping[str, str] = {
    "pandas.Series": "this may be the intermediate proc.pkl; take the file that is named after the label",
    "pandas.core.series.Series": "this may be the intermediate proc.pkl; take the file that is named after the label",
    "pandas.core.indexes.multi.MultiIndex": "write X with one level of column names, as the original does",
    "pandas._libs.tslibs.timestamps.Timestamp": "pandas 1.1 or older wrote this; write it again with 1.3 or later",
    "cloudpickle.cloudpickle._make_skeleton_class": "this may be the result of a fold; take the file with the features",
    "zoneinfo.ZoneInfo": "write date_times with a fixed offset such as +09:00, or leave them out",
}
"""What else a file may turn out to be, by a name that it asks for."""

# What unpickling and decoding raise on bytes that are cut short or make no sense.
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


class Written:
    """One object as the pickle describes it. It does nothing.

    Attributes:
        kind: what was named, one of the values of `ADMITTED`.
        arguments: what it was called with.
        state: what was set on it afterwards, or None.
    """

    __slots__ = ("arguments", "state")
    kind: ClassVar[str] = ""
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> Self:
        """Notes a call."""
        written = super().__new__(cls)
        written.arguments, written.state = arguments, None
        return written

    # Without this the pickle could set attributes, of the object and of its class.
    def __setstate__(self, state: Any) -> None:
        self.state = state


class WrittenPartial(Written):
    """`functools.partial(new_block, ndim=2)`, which pandas 1.3 wrote, and then called, for each block of a table."""

    __slots__ = ()
    kind = "partial"

    def __call__(self, *arguments: Any) -> Written:
        """Notes a block."""
        function, *_ = self.state
        if function is not written_class("new_block"):
            raise AttentionError("the pickle asks for functools.partial of something else", "of new_block", REMEDY)
        return written_class("new_block")(*arguments)


@cache
def written_class(kind: str) -> type[Written]:
    """The class of the notes of one kind: the same class for the same kind."""
    if kind == WrittenPartial.kind:
        return WrittenPartial
    return type(kind, (Written,), {"__slots__": (), "kind": kind})


def described(value: Any) -> str:
    """What a value is, in one word."""
    if not isinstance(value, Written):
        return type(value).__name__
    return "ndarray" if value.kind in ("reconstruct", "frombuffer") else value.kind


class DataUnpickler(pickle.Unpickler):
    """An unpickler that knows the names of plain pandas and numpy data and refuses every other."""

    def find_class(self, module: str, name: str) -> type[Written]:
        """The class that notes what is done with an admitted name.

        Raises:
            AttentionError: the pair is not on the list.
        """
        kind = ADMITTED.get((module, name))
        if kind is None:
            asked = f"{module}.{name}"
            expected = "nothing but pandas and numpy data"
            raise AttentionError(f"the pickle asks for {asked}", expected, _RECOGNISED.get(asked, REMEDY))
        return written_class(kind)

    def persistent_load(self, pid: Any) -> Any:
        """Refuses an object that is not in the file.

        Raises:
            AttentionError: always.
        """
        raise AttentionError(f"the pickle refers to something outside of it ({type(pid).__name__})", "data", REMEDY)


@contextmanager
def damage_refused() -> Iterator[None]:
    """Turns what nonsensical bytes lead to into an AttentionError. A lack of memory stays a MemoryError."""
    try:
        yield
    except _DAMAGE as error:
        raise AttentionError(f"the pickle is damaged ({type(error).__name__})", "a whole file", REMEDY) from error


@damage_refused()
def load_data(stream: BinaryIO) -> Any:
    """What a pickle describes: plain Python values, and `Written` in the place of everything else.

    Raises:
        AttentionError: the pickle asks for a name that is not admitted, or its bytes are damaged.
        MemoryError: there is not enough memory for it.
    """
    return DataUnpickler(stream).load()
