"""Malicious pickles: each is refused, and none of its code runs."""

import gc
import io
import pickle
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cloudpickle
import numpy as np
import pytest

from urgency_dagster.attention.reading.pickles import load_attention_pickle
from urgency_dagster.attention.reading.unpickler import load_data
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.hostile import (
    F4,
    NAMES,
    ONE,
    ROWS,
    array,
    block,
    call,
    dtype,
    five,
    frombuffer,
    index,
    name,
    pickled,
    plain,
    table,
    text,
    tupled,
    values,
)

HARMLESS = ("object.__getattr__", "sys._getframe", "builtins.id")
"""Audit events of reading an attribute."""


class Watch:
    """Records audit events of this thread while it is active: files, processes, imports, code."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.events: list[str] = []
        # Python cannot remove an audit hook.
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: object) -> None:
        if self.thread == threading.get_ident() and event not in HARMLESS:
            self.events.append(event)

    def __enter__(self) -> Self:
        self.events = []
        # Garbage collection would add events of other objects.
        gc.disable()
        self.thread = threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread = None
        gc.enable()


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Watch:
    path = tmp_path_factory.mktemp("watch") / "attention.pkl"
    # Modules that are imported on first use are imported now.
    for honest in (five(), five(date_times=stamps(call("pytz", "_UTC")))):
        path.write_bytes(honest)
        load_attention_pickle(path)
    return Watch()


@pytest.fixture
def refused(tmp_path: Path, watch: Watch) -> Callable[[bytes, str], None]:
    """Asserts that a pickle is refused with this message, and that none of its code ran."""

    def check(content: bytes, said: str) -> None:
        path = tmp_path / "attention.pkl"
        path.write_bytes(content)
        with watch as watched, pytest.raises(AttentionError) as refusal:
            load_attention_pickle(path)
        # Only the given file is opened.
        assert watched.events == ["open"]
        assert [file.name for file in tmp_path.iterdir()] == ["attention.pkl"]
        refusal.match(said)

    return check


FORBIDDEN = (Path(__file__).parent / "forbidden_names.txt").read_text().split()
"""Names that a hostile file may call, one per line."""


@pytest.mark.parametrize("asked", FORBIDDEN)
def test_forbidden_names_are_refused_and_named(
    tmp_path: Path, refused: Callable[[bytes, str], None], asked: str
) -> None:
    module, _, attribute = asked.rpartition(".")
    canary = str(tmp_path / "executed")
    payload = call(module, attribute, plain(f"touch {canary}"))
    refused(five(X=payload), f"names {asked};")


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("numpy", "core.os.system"),
        ("numpy", "dtype.__reduce__"),
        ("pandas", "io.common.os.system"),
        ("pandas", "DataFrame.to_pickle"),
        ("builtins", "slice.__class__.__base__.__subclasses__"),
        ("functools", "partial.func"),
        ("pyarrow.lib", "py_buffer.__self__"),
        ("datetime", "sys.modules"),
        ("numpy", "dtype "),
        (" numpy", "dtype"),
        ("Numpy", "dtype"),
        ("numpy.", "dtype"),
        ("", "numpy.dtype"),
        ("numpy.core.multiarray._reconstruct", ""),
        ("builtins", "ｅval"),
    ],
)
def test_dots_spaces_and_other_spellings_are_refused(
    refused: Callable[[bytes, str], None], module: str, attribute: str
) -> None:
    refused(five(X=call(module, attribute, plain("id"))), "the pickle names ")


def by_opcode(canary: object) -> dict[str, bytes]:
    shell = plain(f"touch {canary}")
    return {
        "GLOBAL": b"cos\nsystem\n" + tupled(shell) + b"R",
        "INST": b"(" + shell + b"ios\nsystem\n",
        "OBJ": b"(cos\nsystem\n" + shell + b"o",
        "NEWOBJ": name("subprocess", "Popen") + tupled(shell) + b"\x81",
        "NEWOBJ_EX": name("subprocess", "Popen") + tupled(shell) + plain({"shell": True}) + b"\x92",
        "BUILD": name("os", "environ") + plain({"PATH": "/"}) + b"b",
        "GLOBAL of Python 2": b"c__builtin__\nexecfile\n" + tupled(shell) + b"R",
    }


@pytest.mark.parametrize("opcode", by_opcode(""))
def test_every_opcode_with_a_name_obeys_the_allow_list(
    tmp_path: Path, refused: Callable[[bytes, str], None], opcode: str
) -> None:
    refused(five(X=by_opcode(tmp_path / "executed")[opcode]), "the pickle names (os|subprocess|__builtin__)")


@pytest.mark.parametrize("protocol", range(6))
def test_honest_pickling_of_a_call_is_refused_in_every_protocol(
    tmp_path: Path, refused: Callable[[bytes, str], None], protocol: int
) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    refused(pickle.dumps((Payload(), 1, 2, 3), protocol), r"names (builtins|__builtin__)\.exec;")


@dataclass
class FoldResult:
    name: str
    X_train: object


def test_the_result_of_a_fold_is_refused_with_a_hint(refused: Callable[[bytes, str], None]) -> None:
    FoldResult.__module__ = "__main__"
    content = cloudpickle.dumps(FoldResult("P01", np.ones(3)))
    assert b"_make_skeleton_class" in content
    refused(content, "the pickle names (cloudpickle.cloudpickle._|builtins.type)")
    refused(five(X=call("cloudpickle.cloudpickle", "_make_skeleton_class")), "this may be the result of a fold")


NOT_DATA = {
    "persistent id": (plain("id") + b"Q", "an object outside the file"),
    "persistent id in text": (b"Ppwned\n", "an object outside the file"),
    "extension of one byte": (b"\x82\x01", "damaged"),
    "extension of two bytes": (b"\x83\x01\x01", "damaged"),
    "extension of four bytes": (b"\x84\x01\x01\x01\x01", "damaged"),
    "buffer from outside": (b"\x97", "damaged"),
    "unknown opcode": (b"\xff", "damaged"),
    "a later protocol": (b"\x80\xff", "damaged"),
    "memo that was never set": (b"h\x07", "damaged"),
    "pop from nothing": (b"00000000", "damaged"),
    "a call of a text": (text("os.system") + tupled(plain("id")) + b"R", "damaged"),
    "a call of a table": (plain({}) + tupled() + b"R", "damaged"),
    "arguments that are no tuple": (name("builtins", "slice") + plain([1]) + b"R", "damaged"),
    "keyword arguments": (name("numpy", "dtype") + b")" + plain({"align": True}) + b"\x92", "damaged"),
    "attributes of a class": (name("pandas", "DataFrame") + plain((None, {"reset_index": 1})) + b"b", "damaged"),
    "a class as dictionary": (name("pandas", "DataFrame") + b"(" + text("a") + text("b") + b"u", "damaged"),
    "items of an array class": (name("numpy", "ndarray") + b"(" + text("a") + b"e", "damaged"),
    "attributes of a number": (plain(7) + plain((None, {"real": 1})) + b"b", "damaged"),
    "a key that cannot be one": (b"}" + b"]" + plain(1) + b"s", "damaged"),
    "a set of lists": (b"\x8f(" + b"]" + b"\x90", "damaged"),
    "partial of something admitted": (
        call("functools", "partial", name("builtins", "bytearray"))
        + tupled(name("builtins", "bytearray"), plain(()), plain({}), plain(None))
        + b"b"
        + tupled(plain(10**12))
        + b"R",
        "functools.partial of another function",
    ),
    "partial without state": (call("functools", "partial", name("numpy", "dtype")) + b")R", "damaged"),
    "a frame of any size": (b"\x95" + struct.pack("<Q", 2**63), "damaged"),
    "text that is no UTF-8": (b"X\x02\x00\x00\x00\xff\xff", "damaged"),
}


@pytest.mark.parametrize("case", NOT_DATA)
def test_opcodes_without_data_are_refused(refused: Callable[[bytes, str], None], case: str) -> None:
    pushed, said = NOT_DATA[case]
    refused(five(X=pushed), said)


def deep(levels: int, inner: bytes = b")") -> bytes:
    return inner + b"\x85" * levels


TWO_NAMES = index("Index", {"data": np.array(["A#VAL", "B#VAL"], dtype=object)})

SELF = b"]\x94h\x00a"
"""A list that holds itself, as memo 0."""

OBJECTS = dtype(plain("O8"), plain((3, "|", None, None, None, -1, -1, 63)))
I8 = dtype(plain("i8"))


def arrow(
    offsets: Any,
    content: bytes = b"HRT#VAL",
    alias: str = "large_string",
    length: int | str = 1,
    nulls: int = 0,
    offset: int = 0,
) -> bytes:
    buffer = call("pyarrow.lib", "py_buffer", plain(np.array(offsets, "<i8").tobytes()))
    text_buffer = call("pyarrow.lib", "py_buffer", plain(content))
    kind = call("pyarrow.lib", "type_for_alias", plain(alias))
    # The state is (type, length, nulls, offset, buffers, children, dictionary).
    buffers = b"](" + plain(None) + buffer + text_buffer + b"e"
    state = tupled(kind, plain(length), plain(nulls), plain(offset), buffers, plain([]), plain(None))
    strings = name("pandas.arrays", "ArrowStringArray") + b")\x81}" + text("_pa_array")
    strings += call("pyarrow.lib", "_restore_array", state) + b"sb"
    axis = b"}" + text("data") + strings + b"s"
    return table(
        tupled(block(values(), ONE)), call("pandas.core.indexes.base", "_new_Index", name("pandas", "Index"), axis)
    )


HOSTILE_TABLES = {
    "a text": plain("X"),
    "a dictionary": plain({}),
    "a list that holds itself": SELF,
    "tuples in tuples": deep(100_000),
    "billion laughs": b")" + b"2\x86" * 60,
    "the class itself": name("pandas", "DataFrame"),
    "a table without state": name("pandas", "DataFrame") + b")\x81",
    "a state that is a list": name("pandas", "DataFrame") + b")\x81]b",
    "a manager that is a class": name("pandas", "DataFrame")
    + b")\x81}"
    + text("_mgr")
    + name("pandas.core.internals.managers", "BlockManager")
    + b"sb",
    "the state of an old manager": name("pandas", "DataFrame")
    + b")\x81}"
    + text("_mgr")
    + call("pandas.core.internals.managers", "BlockManager")
    + plain(([], [], [], {"0.14.1": {"axes": [], "blocks": []}}))
    + b"bsb",
    "huge shape": table(tupled(block(array((10**6, 10**12), F4, plain(b"1234")), ONE)), NAMES),
    "huge width of no rows": table(tupled(block(array((10**6, 0), F4, plain(b"")), ONE)), NAMES),
    "negative shape": table(tupled(block(array((-1, -4), F4, plain(b"1234" * 4)), ONE)), NAMES),
    "a shape of bools": table(tupled(block(array((True, True), F4, plain(b"1234")), ONE)), NAMES),
    "33 dimensions": table(tupled(block(array((1,) * 33, F4, plain(b"1234")), ONE)), NAMES),
    "a shape that is a list": table(tupled(block(array([1, 1], F4, plain(b"1234")), ONE)), NAMES),
    "fewer bytes than values": table(tupled(block(array((1, ROWS), F4, plain(b"1234")), ONE)), NAMES),
    "bytes as object pointers": table(tupled(block(frombuffer(plain(b"A" * 80), OBJECTS, (1, ROWS)), ONE)), NAMES),
    "bytes of another type": table(tupled(block(frombuffer(plain(b"A" * 9), dtype(plain("f8")), (1, 1)), ONE)), NAMES),
    "a buffer that is a number": table(tupled(block(frombuffer(plain(10**9), F4, (1, ROWS)), ONE)), NAMES),
    "a bytearray of any size": table(
        tupled(block(frombuffer(call("builtins", "bytearray", plain(10**12)), F4, (1, ROWS)), ONE)), NAMES
    ),
    "bytearrays in bytearrays": table(
        tupled(
            block(
                frombuffer(name("builtins", "bytearray") * 20_000 + plain(b"") + b"\x85R" * 20_000, F4, (1, ROWS)),
                ONE,
            )
        ),
        NAMES,
    ),
    "a bool that is 2": table(tupled(block(array((1, ROWS), dtype(plain("b1")), plain(b"\x02" * ROWS)), ONE)), NAMES),
    "a shape and a class for data": table(tupled(block(name("numpy", "ndarray"), ONE)), NAMES),
    "a block that is a number": table(tupled(plain(1)), NAMES),
    "a block of nothing": table(tupled(call("pandas._libs.internals", "_unpickle_block")), NAMES),
    "blocks that are a number": table(plain(7), NAMES),
    "one column twice": table(tupled(block(values(), ONE), block(values(), ONE)), TWO_NAMES),
    "a column that is not there": table(tupled(block(values(), plain(np.array([5])))), NAMES),
    "a slice of texts": table(tupled(block(values(), call("builtins", "slice", plain("a"), plain("b")))), NAMES),
    "rows of different length": table(
        tupled(block(values(), ONE), block(values(rows=3), call("builtins", "slice", plain(1), plain(2)))),
        TWO_NAMES,
    ),
    "an index of a million billion": table(
        tupled(block(values(), ONE)), index("RangeIndex", {"start": 0, "stop": 10**15, "step": 1})
    ),
    "an index beyond all numbers": table(
        tupled(block(values(), ONE)), index("RangeIndex", {"start": 0, "stop": 10**40, "step": 1})
    ),
    "an index of a table": table(tupled(block(values(), ONE)), index("DataFrame", {"data": {"a": [1]}})),
    "an index of no index": table(
        tupled(block(values(), ONE)),
        call("pandas.core.indexes.base", "_new_Index", name("builtins", "bytearray"), plain({"source": 10**12})),
    ),
    "an index of a text": table(
        tupled(block(values(), ONE)), call("pandas.core.indexes.base", "_new_Index", text("os.system"), plain({}))
    ),
    "names that are tuples": table(
        tupled(block(values(), ONE)),
        call(
            "pandas.core.indexes.base",
            "_new_Index",
            name("pandas", "Index"),
            b"}" + text("data") + array((1,), OBJECTS, b"]" + plain(("a", "b")) + b"a") + b"s",
        ),
    ),
    "a name that holds itself": table(
        tupled(block(values(), ONE)),
        call(
            "pandas.core.indexes.base",
            "_new_Index",
            name("pandas", "Index"),
            b"}" + text("data") + array((1,), OBJECTS, b"]" + SELF + b"a") + b"s",
        ),
    ),
    "a name of control characters": table(
        tupled(block(values(), ONE)), index("Index", {"data": np.array(["\x1b[2J\n"], dtype=object)})
    ),
    "a name of a lone surrogate": table(
        tupled(block(values(), ONE)), index("Index", {"data": np.array(["\ud800"], dtype=object)})
    ),
    "a name of a million letters": table(
        tupled(block(values(), ONE)), index("Index", {"data": np.array(["a" * 10**6], dtype=object)})
    ),
    "offsets outside of the text": arrow([0, 10_000]),
    "offsets that go back": arrow([0, 10_000, 5], length=2),
    "offsets below zero": arrow([-7, 7]),
    "fewer offsets than texts": arrow([0, 7], length=10**9),
    "an offset of the offsets": arrow([0, 7], offset=10**9),
    "texts that are missing": arrow([0, 7], nulls=1),
    "texts that are no UTF-8": arrow([0, 2], content=b"\xff\xff"),
    "texts of another type": arrow([0, 7], alias="int64"),
    "texts of one million": arrow([0, 7], length="7"),
}


@pytest.mark.parametrize("case", HOSTILE_TABLES)
def test_hostile_values_instead_of_a_table_are_refused(refused: Callable[[bytes, str], None], case: str) -> None:
    refused(five(X=HOSTILE_TABLES[case]), "damaged|element 1|before 1.3|not valid text|at least one row")


TYPES = {
    "records": plain([("a", "f4"), ("b", "O")]),
    "records in a text": plain("f4,O"),
    "a dictionary": plain({"names": ["a"], "formats": ["O"], "offsets": [2**40]}),
    "raw memory": plain("V8"),
    "bytes": plain("S8"),
    "complex numbers": plain("c8"),
    "a type of a class": name("numpy", "ndarray"),
    "a text of any length": plain("U99999999999999999999"),
    "a text of no length": plain("U0"),
    "an evaluated text": plain("__import__('os').system('id')"),
    "a type of nothing": plain(None),
    "an unknown width": plain("f3"),
}


@pytest.mark.parametrize("case", TYPES)
def test_types_other_than_plain_numbers_and_texts_are_refused(refused: Callable[[bytes, str], None], case: str) -> None:
    refused(five(y=array((ROWS,), dtype(TYPES[case]), plain(bytes(8 * ROWS)))), "damaged")


@pytest.mark.parametrize(
    "state",
    [
        plain(None),
        plain((3, "?", None, None, None, -1, -1, 0)),
        plain("state"),
        plain({"alignment": -1}),
    ],
    ids=["none", "byte order", "text", "dictionary"],
)
def test_a_type_with_a_nonsensical_state_is_refused(refused: Callable[[bytes, str], None], state: bytes) -> None:
    refused(five(y=array((ROWS,), dtype(plain("i8"), state), plain(bytes(8 * ROWS)))), "damaged")


HOSTILE_LABELS = {
    "a huge bytearray": (call("builtins", "bytearray", plain(10**12)), "y is a bytearray"),
    "a slice of any size": (call("builtins", "slice", plain(0), plain(10**18)), "y is a slice"),
    "a class": (name("pandas", "DataFrame"), "y is a type"),
    "a list that holds itself": (SELF, "y is a list"),
    "objects that hold themselves": (array((1,), OBJECTS, b"]" + SELF + b"a"), "y has 1 values"),
    "calls in an array": (
        array((ROWS,), OBJECTS, b"](" + call("builtins", "bytearray", plain(10**12)) * ROWS + b"e"),
        "y has the dtype object",
    ),
    "an array in an array": (array((ROWS,), OBJECTS, b"](" + plain(np.ones(2)) * ROWS + b"e"), "dtype object"),
    "objects that are no list": (array((ROWS,), OBJECTS, plain("abcdefghij")), "damaged"),
    "raw bytes as objects": (array((ROWS,), OBJECTS, plain(b"A" * 80)), "damaged"),
    "a backed array": (
        call("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked", name("pandas", "DataFrame"), plain(0), plain(None)),
        "y is a array_backed",
    ),
    "a buffer": (call("pyarrow.lib", "py_buffer", plain(2**62)), "y is a py_buffer"),
    "numbers beyond int64": (array((ROWS,), dtype(plain("u8")), plain(b"\xff" * 8 * ROWS)), "values 1844674"),
}


@pytest.mark.parametrize("case", HOSTILE_LABELS)
def test_hostile_values_instead_of_labels_are_refused(refused: Callable[[bytes, str], None], case: str) -> None:
    pushed, said = HOSTILE_LABELS[case]
    refused(five(y=pushed), said)


def test_invalid_code_points_are_refused(refused: Callable[[bytes, str], None]) -> None:
    letters = array((ROWS,), dtype(plain("U1"), plain((3, "<", None, None, None, 4, 4, 8))), plain(b"\xff" * 4 * ROWS))
    refused(five(group=letters), "damaged")


def stamps(zone: bytes, count: bytes = plain(10**18)) -> bytes:
    stamp = call("pandas._libs.tslibs.timestamps", "_unpickle_timestamp", count, plain(None), zone)
    return array((ROWS,), OBJECTS, b"](" + stamp * ROWS + b"e")


ZONES = {
    "a path": call("pytz", "_p", plain("../../../../etc/passwd"), plain("x"), plain(0), plain("LMT")),
    "nothing": call("pytz", "_p"),
    "an offset of a list": call("pytz", "FixedOffset", plain([1])),
    "an offset without end": call("pytz", "FixedOffset", plain(float("inf"))),
    "a zone of a text": call("datetime", "timezone", plain("os.system")),
    "a zone of days without end": call(
        "datetime", "timezone", call("datetime", "timedelta", plain(10**400), plain(0), plain(0))
    ),
    "a zone of a class": call("datetime", "timezone", name("datetime", "timedelta")),
    "a table": plain({}),
    "a function": name("pytz", "_p"),
}


@pytest.mark.parametrize("zone", ZONES)
def test_hostile_time_zones_are_dropped_without_a_lookup(tmp_path: Path, watch: Watch, zone: Any) -> None:
    path = tmp_path / "attention.pkl"
    path.write_bytes(five(date_times=stamps(ZONES[zone])))
    with watch as watched:
        loaded = load_attention_pickle(path)
    assert watched.events == ["open"]
    assert loaded.warnings[0] == "date_times are not timestamps and were dropped"


def test_a_forbidden_name_is_refused_anywhere_in_the_file(refused: Callable[[bytes, str], None]) -> None:
    evil = call("os", "system", plain("id"))
    refused(five(date_times=stamps(evil)), "names os.system")
    refused(five(X=table(tupled(block(values(), ONE)), index("Index", {})) + b"0" + evil), "names os.system")
    refused(pickled(evil + b"0" + five()[2:-1]), "names os.system")


def test_bytes_after_the_end_are_not_read(tmp_path: Path) -> None:
    assert load_data(io.BytesIO(pickled(plain(1)) + pickled(call("os", "system", plain("id"))))) == 1


def test_valid_files_of_the_same_form_load(tmp_path: Path) -> None:
    path = tmp_path / "attention.pkl"
    for content in (five(), five(X=table(tupled(block(values(), ONE)), NAMES)), five(X=arrow([0, 7]))):
        path.write_bytes(content)
        loaded = load_attention_pickle(path)
        assert (list(loaded.X), len(loaded.y), loaded.t_s is None) == (["HRT#VAL"], ROWS, False)
