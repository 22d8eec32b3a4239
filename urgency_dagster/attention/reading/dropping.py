"""Leaves columns out of a table before they are checked."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pandas as pd

from urgency_dagster.errors import AttentionError


def without_columns(X: pd.DataFrame, patterns: Sequence[str]) -> pd.DataFrame:
    """X without the columns that a pattern names.

    Args:
        X: the features.
        patterns: names, or patterns with `*` and `?` such as `ESM#LIK#*`.

    Raises:
        AttentionError: a pattern matches no column, or no column is left.
    """
    dropped: set[str] = set()
    for pattern in patterns:
        found = {name for name in X.columns if name == pattern or fnmatchcase(str(name), pattern)}
        if not found:
            received = f"drop_columns: {pattern!r} matches none of {X.shape[1]} columns"
            raise AttentionError(received, "the name of a column, or a pattern such as 'ESM#LIK#*'", "correct it")
        dropped |= found
    if dropped and len(dropped) == X.shape[1]:
        raise AttentionError(f"drop_columns drops all {X.shape[1]} columns", "at least one column left", "drop fewer")
    return X.loc[:, [name not in dropped for name in X.columns]] if dropped else X
