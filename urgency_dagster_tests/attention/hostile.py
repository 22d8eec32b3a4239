"""Builds hostile pickles opcode by opcode."""

import pickle
import struct

import numpy as np
import pandas as pd


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def name(module: str, attribute: str) -> bytes:
    """Pushes a global, by the opcode that allows dots in its name."""
    return text(module) + text(attribute) + b"\x93"


def plain(value: object) -> bytes:
    """Pushes a value of plain Python, numpy or pandas, as pickle itself would."""
    return pickle.dumps(value, protocol=3)[2:-1]


def tupled(*pushed: bytes) -> bytes:
    """Pushes a tuple of what is pushed."""
    return b"(" + b"".join(pushed) + b"t"


def call(module: str, attribute: str, *pushed: bytes) -> bytes:
    """Pushes the result of a call."""
    return name(module, attribute) + tupled(*pushed) + b"R"


def pickled(pushed: bytes) -> bytes:
    """A whole pickle of one pushed value."""
    return b"\x80\x05" + pushed + b"."


ROWS = 10


def honest() -> dict[str, bytes]:
    """The pushed elements of a file that would load."""
    X = pd.DataFrame({"HRT#VAL": np.arange(ROWS, dtype="float32")})
    return {
        "X": plain(X),
        "y": plain(np.arange(ROWS) % 2),
        "group": plain(np.array([f"P{n // 2:02d}" for n in range(ROWS)])),
        "t": plain(np.arange(ROWS) * 3600.0),
        "date_times": plain(None),
    }


def five(**replaced: bytes) -> bytes:
    """A whole pickle of a tuple of five, some of its elements replaced."""
    return pickled(tupled(*{**honest(), **replaced}.values()))


def dtype(code: bytes, state: bytes | None = None) -> bytes:
    """Pushes a numpy dtype with the state that numpy gives it, or another."""
    made = call("numpy", "dtype", code, plain(False), plain(True))
    return made + (plain((3, "<", None, None, None, -1, -1, 0)) if state is None else state) + b"b"


def array(shape: object, kind: bytes, data: bytes) -> bytes:
    """Pushes an array of any shape, type and content."""
    made = call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"), plain((0,)), plain(b"b"))
    return made + tupled(plain(1), plain(shape), kind, plain(False), data) + b"b"


def frombuffer(data: bytes, kind: bytes, shape: object) -> bytes:
    """Pushes an array laid over a buffer."""
    return call("numpy._core.numeric", "_frombuffer", data, kind, plain(shape), plain("C"))


F4 = dtype(plain("f4"))


def table(blocks: bytes, columns: bytes, rows: int = ROWS) -> bytes:
    """Pushes a table of the given blocks and column axis."""
    axes = b"](" + columns + index("RangeIndex", {"start": 0, "stop": rows, "step": 1, "name": None}) + b"e"
    manager = call("pandas.core.internals.managers", "BlockManager", blocks, axes)
    return name("pandas", "DataFrame") + b")\x81" + b"}" + text("_mgr") + manager + b"sb"


def index(kind: str, state: object) -> bytes:
    """Pushes an index; `kind` is a name in pandas."""
    return call("pandas.core.indexes.base", "_new_Index", name("pandas", kind), plain(state))


def block(values: bytes, placement: bytes) -> bytes:
    """Pushes a block of a table."""
    return call("pandas._libs.internals", "_unpickle_block", values, placement, plain(2))


def values(columns: int = 1, rows: int = ROWS) -> bytes:
    """Pushes the float32 values of a block."""
    return array((columns, rows), F4, plain(bytes(columns * rows * 4)))


NAMES = index("Index", {"data": np.array(["HRT#VAL"], dtype=object), "name": None})
ONE = call("builtins", "slice", plain(0), plain(1), plain(1))
