import datetime
import functools
import io
import os
import pickle
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import pytz

from urgency_dagster.attention import unpickler
from urgency_dagster.errors import AttentionError


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@dataclass
class FoldResult:
    name: str


def load(value, protocol=5):
    return unpickler.load_data(io.BytesIO(pickle.dumps(value, protocol=protocol)))


@pytest.mark.parametrize(
    ("hostile", "named"),
    [
        (lambda marker: Calls(os.system, f"touch {marker}"), "system"),
        (lambda marker: Calls(eval, f"open({str(marker)!r}, 'w')"), "builtins.eval"),
        (lambda marker: Calls(exec, f"open({str(marker)!r}, 'w')"), "builtins.exec"),
        (lambda marker: Calls(open, str(marker), "w"), "open"),
        (lambda marker: Calls(getattr, pd.DataFrame, "to_pickle"), "builtins.getattr"),
        (lambda marker: Calls(np.load, str(marker)), "numpy"),
        (lambda marker: Calls(pd.read_pickle, str(marker)), "pandas"),
        (lambda marker: FoldResult("fold"), "FoldResult"),
        (lambda marker: Calls(__import__, "os"), "builtins.__import__"),
    ],
)
@pytest.mark.parametrize("protocol", [4, 5])
def test_anything_but_data_is_refused_by_name_and_not_run(tmp_path, hostile, named, protocol):
    marker = tmp_path / "executed"
    with pytest.raises(AttentionError, match=named):
        load((hostile(marker), 1), protocol)
    assert not marker.exists()


def test_the_names_of_python_2_are_no_way_around():
    with pytest.raises(AttentionError, match=r"__builtin__\.eval"):
        load(Calls(eval, "1"), protocol=2)


def test_partial_is_not_a_way_to_call_something_else(tmp_path):
    marker = tmp_path / "executed"
    with pytest.raises(AttentionError, match="asks for"):
        load(Calls(functools.partial(os.system, f"touch {marker}")))
    assert not marker.exists()
    # Even with an admitted callable inside, the result makes blocks and nothing else.
    with pytest.raises(AttentionError, match="damaged"):
        load(Calls(functools.partial(bytearray, 10)))


def test_an_array_cannot_be_laid_over_foreign_memory():
    # Plain pickle.loads of this crashes the interpreter: the bytes are taken for object pointers.
    by_name = b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93"
    arguments = b"(K\x01\x85\x8c\x05numpy\x8c\x05dtype\x93\x8c\x01O\x85RC\x08AAAAAAAAt"
    with pytest.raises(AttentionError, match="damaged"):
        unpickler.load_data(io.BytesIO(by_name + arguments + b"R."))


def test_arrow_offsets_are_checked():
    import pyarrow as pa

    restore, (state,) = pa.array(["he", "llo"], pa.string()).__reduce__()
    kind, length, nulls, offset, (valid, _, text), *rest = state
    # Begins and ends within the five bytes of text, but points outside of them in between.
    offsets = pa.py_buffer(np.array([0, 10_000, 5], dtype="int32").tobytes())
    with pytest.raises(AttentionError, match="damaged"):
        load(Calls(restore, (kind, length, nulls, offset, (valid, offsets, text), *rest)))


@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_damaged(keep):
    content = pickle.dumps(pd.DataFrame({"HRT#VAL": np.ones(50, "float32")}))
    cut = content[: keep if isinstance(keep, int) else int(keep * len(content))]
    with pytest.raises(AttentionError, match="damaged"):
        unpickler.load_data(io.BytesIO(cut))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zone", [pytz.FixedOffset(540), pytz.UTC, pytz.timezone("Asia/Seoul"), datetime.UTC], ids=str)
def test_what_the_writer_writes_comes_back(protocol, zone):
    X = pd.DataFrame({"HRT#VAL": np.arange(3, dtype="float32"), "A#VAL=x": [True, False, True]}, index=[5, 6, 9])
    instants = np.array([pd.Timestamp("2019-04-30", tz=zone)] * 3, dtype=object)
    index = pd.DatetimeIndex(instants)
    if protocol == 2:
        # Old protocols write bytes through _codecs.encode; nobody writes these files with them.
        with pytest.raises(AttentionError, match="_codecs"):
            load((X, instants), protocol)
        return
    table, values, days = load((X, instants, index), protocol)
    pd.testing.assert_frame_equal(table, X)
    assert list(values) == list(instants)
    assert list(days) == list(index)


def test_blocks_of_pandas_1_3_load():
    """pandas 1.3 wrote `partial(new_block, ndim=2)(values, slice)` for each block."""
    blocks = pytest.importorskip("pandas.core.internals.blocks")
    X = pd.DataFrame({"a": np.arange(3, dtype="float32")})
    values = X.to_numpy().T.copy()
    block = Calls(functools.partial(blocks.new_block, ndim=2), values, slice(0, 1, 1))
    loaded = load(block)
    assert loaded.ndim == 2
    np.testing.assert_array_equal(loaded.values, values)


@pytest.mark.parametrize(
    ("old", "today"),
    [
        (("numpy.core.multiarray", "_reconstruct"), np.empty((0,), "b")),
        (("pandas.core.frame", "DataFrame"), pd.DataFrame),
        (("pandas.core.indexes.numeric", "Int64Index"), pd.Index),
        (("pandas.core.indexes.base", "Index"), pd.Index),
        (("pandas.core.indexes.range", "RangeIndex"), pd.RangeIndex),
    ],
)
def test_names_of_older_writers_are_known(old, today):
    found = unpickler.DataUnpickler(io.BytesIO()).find_class(*old)
    if isinstance(today, np.ndarray):
        np.testing.assert_array_equal(found(None, (10**12,), b"b"), today)
    else:
        assert found is today


def test_every_admitted_name_exists():
    reader = unpickler.DataUnpickler(io.BytesIO())
    for module, name in unpickler._ADMITTED:
        assert callable(reader.find_class(module, name)), (module, name)
