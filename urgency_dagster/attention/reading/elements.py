"""The elements of a landed file: X, y, group, t and date_times, in one of the arrangements that people have."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.containers import GROUP, LABEL, TIME
from urgency_dagster.attention.reading.decoding import decoded_array, decoded_names, decoded_table
from urgency_dagster.attention.reading.unpickler import type_name
from urgency_dagster.errors import AttentionError

KEYS: Mapping[str, tuple[str, ...]] = {
    "X": ("X",),
    "y": LABEL,
    "group": (*GROUP, "groups"),
    "t": TIME,
    "date_times": ("date_times",),
    "names": ("column_names", "columns", "feature_names"),
}
"""The keys of a dict, for each element."""

REWRITE = "write the file again with the K-EmoPhone code"


class Elements(NamedTuple):
    """The content of a landed file, not yet decoded. `names` are the column names of an array X."""

    X: Any
    y: Any
    group: Any
    t: Any = None
    date_times: Any = None
    names: Any = None


def elements_of(value: Any, labels: pd.DataFrame | None, warnings: list[str]) -> Elements:
    """The elements of a tuple, a list, a dict or a Parquet table, or of X alone with the table of its labels.

    Args:
        value: what the file holds.
        labels: the second file with y, group and perhaps t, in the order of the rows; None without one.
        warnings: receives a sentence about another arrangement than the original's.

    Raises:
        AttentionError: the value is of another kind, an element is missing, or both files hold the labels.
    """
    if labels is not None:
        return _with_labels(value, labels)
    if isinstance(value, pd.DataFrame):
        return _of_table(value)
    if isinstance(value, dict):
        return _of_dict(value, warnings)
    if not isinstance(value, tuple | list) or len(value) not in (4, 5):
        size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise AttentionError(f"the pickle holds a {type_name(value)}{size}", "a tuple of 4 or 5", REWRITE)
    if isinstance(value, list):
        warnings.append("the pickle holds a list, which was read as a tuple")
    return Elements(*value)


def _of_dict(value: Mapping[Any, Any], warnings: list[str]) -> Elements:
    found = {name: key for name, keys in KEYS.items() for key in reversed(keys) if key in value}
    if not {"X", "y", "group"} <= found.keys():
        expected = "a tuple of 4 or 5, or a dict with the keys X, y and group"
        raise AttentionError("the pickle holds a dict", expected, REWRITE)
    others = len(value) - len(found)
    unread = f"; {others} other keys were not read" if others else ""
    warnings.append(f"the pickle holds a dict, which was read as a tuple{unread}")
    return Elements(**{name: value[key] for name, key in found.items()})


def _columns(table: pd.DataFrame, received: str, expected: str) -> dict[str, str]:
    """The names of the columns with y, group and perhaps t."""
    candidates = {"y": LABEL, "group": GROUP, "t": TIME}
    found = {name: key for name, keys in candidates.items() for key in reversed(keys) if key in table.columns}
    if not {"y", "group"} <= found.keys():
        raise AttentionError(f"{received} has no column y or no column group", expected, "add these columns")
    return found


def _of_table(table: pd.DataFrame) -> Elements:
    found = _columns(table, "the Parquet file", "X with the columns y and group, and t if known")
    return Elements(table.drop(columns=list(found.values())), **_arrays(table, found))


def _arrays(table: pd.DataFrame, found: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {name: table[key].to_numpy() for name, key in found.items()}


def _with_labels(value: Any, labels: pd.DataFrame) -> Elements:
    has_labels = isinstance(value, pd.DataFrame) and {*LABEL, *GROUP} & {*value.columns}
    if has_labels or isinstance(value, tuple | list | dict):
        raise AttentionError(
            "attention.pkl holds labels, and attention_labels.parquet lies beside it",
            "the labels in one of both files",
            "move attention_labels.parquet away, or land X alone",
        )
    found = _columns(labels, "attention_labels.parquet", "the columns y and group, and t if known")
    return Elements(value, **_arrays(labels, found))


def table_of(elements: Elements, column_names: Sequence[str]) -> pd.DataFrame:
    """X as a table. An array, or a table whose columns are numbered, gets its names.

    Args:
        elements: the content of the file.
        column_names: the names of an array, in order; those of the file if empty.

    Raises:
        AttentionError: X is no table and has no names, their number is another, or X has other names.
    """
    names = list(column_names) or decoded_names(elements.names)
    table = _table(elements.X, named=bool(names))
    own: list[Any] = list(table.columns)
    if not names or own == names:
        return table
    if own != list(range(len(own))):
        raise AttentionError("column_names differ from the names in X", "names for an array", "leave them out")
    if len(names) != len(own):
        raise AttentionError(f"{len(names)} column_names for {len(own)} columns", "one per column", "correct them")
    table.columns = pd.Index(names, tupleize_cols=False)
    return table


def _table(X: Any, *, named: bool) -> pd.DataFrame:
    """X as a table; the columns of an array are numbered."""
    if isinstance(X, pd.DataFrame):
        return X
    array = decoded_array(X)
    if not isinstance(array, np.ndarray) or array.ndim != 2:
        return decoded_table(X)
    if not named:
        raise AttentionError(
            f"X is an array of shape {array.shape} without names of its columns",
            "a pandas DataFrame, or names",
            "set `attention_features: {column_names: [...]}`, or write a dict with the key column_names",
        )
    return pd.DataFrame(array)
