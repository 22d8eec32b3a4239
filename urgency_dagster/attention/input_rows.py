"""Rows that an exported model is asked about: a DataFrame, dicts or a Parquet file, cut to the columns that it uses."""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.estimators import refuse_columns
from urgency_dagster.errors import AttentionError

Rows = pd.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | Path
"""The accepted kinds of rows."""

ACCEPTED = "a DataFrame, a dict or a list of dicts by column name, or the path of a Parquet file"


@dataclass(frozen=True)
class InputRows:
    """N rows.

    Attributes:
        features: the used columns, in the order of the model, with NumPy's types; a missing value is NaN.
        index: the label of each row.
        unknown_columns: names of other columns that the model was not fitted on, sorted.
    """

    features: pd.DataFrame
    index: tuple[Hashable, ...]
    unknown_columns: tuple[str, ...]


def read_rows(rows: Rows, used: Sequence[str], known: Collection[str]) -> InputRows:
    """The rows, with the used columns only.

    Args:
        rows: the rows.
        used: the columns that the model needs.
        known: the columns that the model was fitted on.

    Raises:
        AttentionError: `rows` is of another kind, holds no row, lacks a used column, or is no Parquet file.
    """
    frame, names = _frame(rows, used)
    if not len(frame):
        raise AttentionError("no row", "at least one row", "pass one")
    features = frame.apply(_with_numpy_type)
    unknown = sorted({str(name) for name in names} - set(known))
    return InputRows(features, tuple(frame.index.tolist()), tuple(unknown))


def _frame(rows: Rows, used: Sequence[str]) -> tuple[pd.DataFrame, Collection[Any]]:
    """The used columns, and the names of all given columns."""
    if isinstance(rows, pd.DataFrame):
        _refuse_missing(rows.columns, used)
        return rows[list(used)], rows.columns
    if isinstance(rows, str | Path):
        return _read_parquet(Path(rows), used)
    listed = [rows] if isinstance(rows, Mapping) else rows
    if not isinstance(listed, list | tuple) or not all(isinstance(row, Mapping) for row in listed):
        raise AttentionError(f"the rows are a {type(rows).__name__}", ACCEPTED, "convert them")
    for position, row in enumerate(listed):
        _refuse_missing(row, used, f" in row {position}" if len(listed) > 1 else "")
    frame = pd.DataFrame({name: pd.Series([row[name] for row in listed], dtype=object) for name in used})
    return frame, {name for row in listed for name in row}


def _read_parquet(path: Path, used: Sequence[str]) -> tuple[pd.DataFrame, Collection[str]]:
    """The used columns of a Parquet file; no other column is read. An index that pandas stored is the index again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise AttentionError(f"there is no file {path.name}", "a Parquet file", "correct the path")
    try:
        schema = pq.read_schema(path)
        _refuse_missing(schema.names, used)
        frame = pq.read_table(path, columns=list(used), use_pandas_metadata=True).to_pandas()
    except pa.ArrowException as error:
        remedy = "write the rows with `DataFrame.to_parquet`"
        raise AttentionError(f"{path.name} cannot be read as Parquet", "a Parquet file", remedy) from error
    return frame, set(schema.names) - set(map(str, frame.index.names))


def _refuse_missing(names: Collection[Any], used: Sequence[str], where: str = "") -> None:
    missing = [name for name in used if name not in names]
    refuse_columns(missing, f"are missing{where}", f"the {len(used)} columns that the model uses", "add or rename them")


def _with_numpy_type(column: pd.Series) -> pd.Series:
    """The column with a type of NumPy, if it holds numbers only; else the column as it is."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return column
    if column.dtype.kind in "biuf":  # pandas' nullable types, and those of Arrow
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=math.nan), index=column.index)
    if column.dtype == object and all(_is_number(value) for value in column):
        return pd.Series([_as_float(value) for value in column], index=column.index)
    return column


def _is_number(value: Any) -> bool:
    return value is None or value is pd.NA or isinstance(value, Real | np.bool_)


def _as_float(value: Any) -> float:
    try:
        return math.nan if value is None or value is pd.NA else float(value)
    except OverflowError:
        return math.inf
