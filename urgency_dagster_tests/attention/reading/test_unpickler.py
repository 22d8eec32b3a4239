import datetime
import functools
import io
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.reading import unpickler
from urgency_dagster.attention.reading.unpickler import ALLOWED, DataUnpickler, PickleStub, load_data, stub_class
from urgency_dagster.errors import AttentionError


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def load(value: object, protocol: int = 5) -> Any:
    return load_data(io.BytesIO(pickle.dumps(value, protocol=protocol)))


def test_plain_values_are_loaded() -> None:
    value = (1, [2.5, "나", None], {"a": b"b"}, True)
    assert load(value) == value


def test_a_named_function_becomes_a_stub_and_is_not_called() -> None:
    written = load(datetime.timedelta(days=2))
    assert type(written) is stub_class("timedelta")
    assert (written.kind, written.arguments, written.state) == ("timedelta", (2, 0, 0), None)


def test_a_stub_stores_the_state() -> None:
    assert load(np.dtype("f4")).state[:2] == (3, "<")


def test_classes_become_stub_classes() -> None:
    assert load(pd.DataFrame) is stub_class("DataFrame")


def test_the_allow_list_holds_the_names_of_the_six_writers() -> None:
    """Section 6.3 of the facts, and `pandas.arrays.StringArray`, which pandas 3 writes where there is no pyarrow.

    Series are allowed too: y, group and t are often columns of a table.
    """
    by_module: dict[str, set[str]] = {}
    for module, name in ALLOWED:
        by_module.setdefault(module, set()).add(name)
    assert by_module == {
        "builtins": {"slice", "bytearray"},
        "functools": {"partial"},
        "datetime": {"timezone", "timedelta"},
        "numpy": {"dtype", "ndarray"},
        "numpy.core.multiarray": {"_reconstruct"},
        "numpy._core.multiarray": {"_reconstruct"},
        "numpy.core.numeric": {"_frombuffer"},
        "numpy._core.numeric": {"_frombuffer"},
        "pandas": {"DataFrame", "Series", "Index", "RangeIndex", "StringDtype", "DatetimeIndex", "DatetimeTZDtype"},
        "pandas.core.series": {"Series"},
        "pandas.arrays": {"ArrowStringArray", "StringArray", "DatetimeArray"},
        "pandas._libs.arrays": {"__pyx_unpickle_NDArrayBacked"},
        "pandas._libs.internals": {"_unpickle_block"},
        "pandas._libs.tslibs.timestamps": {"_unpickle_timestamp"},
        "pandas.core.arrays.datetimes": {"DatetimeArray"},
        "pandas.core.dtypes.dtypes": {"DatetimeTZDtype"},
        "pandas.core.frame": {"DataFrame"},
        "pandas.core.indexes.base": {"_new_Index", "Index"},
        "pandas.core.indexes.datetimes": {"DatetimeIndex", "_new_DatetimeIndex"},
        "pandas.core.indexes.numeric": {"Int64Index"},
        "pandas.core.indexes.range": {"RangeIndex"},
        "pandas.core.internals.blocks": {"new_block"},
        "pandas.core.internals.managers": {"BlockManager", "SingleBlockManager"},
        "pyarrow.lib": {"_restore_array", "py_buffer", "type_for_alias"},
        "pytz": {"FixedOffset", "_UTC", "_p"},
    }


@pytest.mark.parametrize("pair", ALLOWED, ids=".".join)
def test_every_allowed_name_gives_a_stub(pair: tuple[str, str]) -> None:
    found = DataUnpickler(io.BytesIO()).find_class(*pair)
    assert issubclass(found, PickleStub)
    assert isinstance(found(), PickleStub)


def test_the_partial_of_pandas_1_3_gives_a_block_stub() -> None:
    blocks = pytest.importorskip("pandas.core.internals.blocks")
    written = load(Calls(functools.partial(blocks.new_block, ndim=2), 1, slice(0, 1)))
    assert (written.kind, written.arguments[0]) == ("new_block", 1)


@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_damaged(keep: float) -> None:
    content = pickle.dumps(pd.DataFrame({"HRT#VAL": np.ones(50, "float32")}))
    cut = content[: keep if isinstance(keep, int) else int(keep * len(content))]
    with pytest.raises(AttentionError, match="damaged"):
        load_data(io.BytesIO(cut))


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("pandas.MultiIndex", "proc.pkl"),
        ("pandas.core.indexes.multi.MultiIndex", "proc.pkl"),
        ("builtins.getattr", r"\+09:00"),
        ("cloudpickle.cloudpickle._make_skeleton_class", "result of a fold"),
        ("pandas._libs.tslibs.timestamps.Timestamp", r"pandas 1\.1"),
        ("zoneinfo.ZoneInfo", r"\+09:00"),
        ("somewhere.else", r"pandas 1\.3 or later"),
    ],
)
def test_a_refusal_says_what_to_do(asked: str, hint: str) -> None:
    module, _, name = asked.rpartition(".")
    with pytest.raises(AttentionError, match=f"names {asked}; .*{hint}"):
        DataUnpickler(io.BytesIO()).find_class(module, name)


def test_a_memory_error_is_not_reported_as_damage() -> None:
    with pytest.raises(MemoryError), unpickler.damage_refused():
        raise MemoryError
