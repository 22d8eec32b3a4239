"""Lossless casts of what people have instead of the original's types. A warning names each cast."""

from typing import Any

import numpy as np
import pandas as pd


def cast_features(X: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """X with its integer, float16 and float64 columns as float32, where that changes no value.

    A column whose values change, and a column of any other type, stays as it is.

    Source: the K-EmoPhone code, which casts every column that is not bool or object to float32.
    """
    cast = {}
    for place, dtype in enumerate(X.dtypes):
        if isinstance(dtype, np.dtype) and dtype.kind in "iuf" and dtype != np.float32:
            values = X.iloc[:, place].to_numpy()
            with np.errstate(over="ignore"):
                narrow = values.astype(np.float32)
            if _same(values, narrow):
                cast[place] = narrow
    if not cast:
        return X
    warnings.append(f"{len(cast)} columns of X were cast to float32 without loss")
    columns = [cast.get(place, X.iloc[:, place].to_numpy()) for place in range(X.shape[1])]
    table = pd.DataFrame(dict(enumerate(columns)), copy=False)
    table.columns = X.columns
    return table


def _same(values: np.ndarray, narrow: np.ndarray) -> bool:
    """Whether the values are the same numbers. NaN equals NaN: a later check refuses it by name."""
    if values.dtype.kind == "f":
        return bool(np.array_equal(values, narrow.astype(np.float64), equal_nan=True))
    return bool((narrow.astype(np.float64) == values).all() and (np.abs(narrow.astype(np.float64)) <= 2**24).all())


def cast_labels(y: Any, warnings: list[str]) -> Any:
    """Y as an integer array, if it is a list of numbers, one column, or holds 0.0 and 1.0 only."""
    labels = one_dimensional("y", y, (int, float, bool), warnings)
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "f" and np.isin(labels, (0.0, 1.0)).all():
        warnings.append(f"y was cast from {labels.dtype} to int64 without loss")
        return labels.astype(np.int64)
    return labels


def cast_groups(group: Any, warnings: list[str]) -> Any:
    """Group as text, if it is a list or holds whole numbers."""
    groups = one_dimensional("group", group, (int, str), warnings)
    if isinstance(groups, np.ndarray) and groups.dtype.kind in "iu":
        warnings.append(f"group was cast from {groups.dtype} to text without loss")
        return groups.astype(str)
    return groups


def one_dimensional(name: str, value: Any, kinds: tuple[type, ...], warnings: list[str]) -> Any:
    """An (N,) array of a list of plain values or of an (N, 1) array; any other value is returned unchanged."""
    if isinstance(value, list) and value and all(type(item) in kinds for item in value):
        plain = np.asarray(value, dtype=object if str in map(type, value) and int in map(type, value) else None)
        if plain.ndim == 1 and plain.dtype.kind in "biufU":
            warnings.append(f"{name} is a list and was read as an array")
            return plain
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 1:
        warnings.append(f"{name} has one column and was read as an array of one dimension")
        return value[:, 0]
    return value
