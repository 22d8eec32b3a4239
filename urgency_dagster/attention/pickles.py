"""A K-EmoPhone pickle becomes checked arrays. Which names it may use is in `unpickler`; nothing is stored here.

The file is untrusted input: its size is capped, its names are on a list, and every element is checked before use.

Source: Kang et al., "K-EmoPhone", Scientific Data 10, 351 (2023), and its supplementary code (the 5-tuple).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.unpickler import load_data
from urgency_dagster.errors import AttentionError

MAX_BYTES = 2 * 1024**3
"""The real matrix has 34.5 MB; its tenfold replication, the largest known derivative, about 740 MB."""

MIN_PARTICIPANTS = 5
"""The default protocol has five folds, and no fold may share a participant with another."""

FEATURE_DTYPES = ("bool", "float32")
"""bool means categorical, float32 numeric. The writer casts every column to one of the two."""


@dataclass(frozen=True)
class AttentionData:
    """The samples of one wearable-attention data set, checked.

    Attributes:
        X: (N, P), unique string column names, bool (categorical) and float32 (numeric) only, all finite, RangeIndex.
        y: (N,) int64, 0 or 1, both present.
        groups: (N,) str, the participant of each row.
        t_s: (N,) float64, seconds since the local midnight of the earliest sample; None when unknown.
        source_sha256: the SHA-256 of the pickle that this was read from.
        warnings: what was dropped on the way in, one sentence each.
    """

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray
    t_s: np.ndarray | None
    source_sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def participants(self) -> int:
        """How many different participants there are."""
        return len(np.unique(self.groups))


def load_attention_pickle(
    path: Path, *, max_bytes: int = MAX_BYTES, min_participants: int = MIN_PARTICIPANTS
) -> AttentionData:
    """The data of a pickled (X, y, group, t) or (X, y, group, t, date_times), checked.

    Args:
        path: the pickle, as written by the K-EmoPhone supplementary code.
        max_bytes: larger files are refused unread.
        min_participants: the fewest different participants.

    Raises:
        AttentionError: no such file; too large; a name outside the admitted list; not a tuple of 4 or 5; row counts
            that differ; a column that is not bool or float32, not finite, or whose name is no string or not unique;
            y other than integer 0 and 1 with both present; a participant that is no text; too few participants.
    """
    value, sha256 = _read(path, max_bytes)
    if not isinstance(value, tuple) or len(value) not in (4, 5):
        size = f" of {len(value)}" if isinstance(value, tuple) else ""
        raise AttentionError(f"the pickle holds a {type(value).__name__}{size}", "a tuple of 4 or 5", _REWRITE)
    X = checked_features(value[0])
    y = checked_labels(value[1], len(X))
    groups = _checked_groups(value[2], len(X), min_participants)
    t_s, warning = _usable_times(value[3], len(X))
    return AttentionData(X, y, groups, t_s, sha256, (warning,) if warning else ())


_REWRITE = "write the file again with the K-EmoPhone code"


def _read(path: Path, max_bytes: int) -> tuple[Any, str]:
    """The unpickled object and the SHA-256 of the same open file."""
    if not path.is_file():
        raise AttentionError(f"there is no file {path.name}", "an attention pickle", f"put it into {path.parent}")
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > max_bytes:
            raise AttentionError(f"{path.name} has {size:,} bytes", f"at most {max_bytes:,}", "drop unneeded columns")
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        return load_data(stream), sha256


def checked_features(X: Any) -> pd.DataFrame:
    """X itself, with a RangeIndex.

    Raises:
        AttentionError: not a table; no row or column; names not unique strings; a dtype other than bool and float32;
            a value that is not finite.
    """
    if not isinstance(X, pd.DataFrame):
        raise AttentionError(f"element 1 is a {type(X).__name__}", "a pandas DataFrame", _REWRITE)
    if X.shape[0] == 0 or X.shape[1] == 0:
        raise AttentionError(f"X has the shape {X.shape}", "at least one row and one column", _REWRITE)
    _check_names(list(X.columns))
    wrong = [(name, str(dtype)) for name, dtype in X.dtypes.items() if str(dtype) not in FEATURE_DTYPES]
    if wrong:
        received = f"{len(wrong)} columns of X have another dtype, first {wrong[0][0]!r}: {wrong[0][1]}"
        raise AttentionError(received, "bool or float32", "cast categorical columns to bool, numeric ones to float32")
    _check_finite(X)
    return X.reset_index(drop=True)


def _check_names(names: list[Any]) -> None:
    other = [name for name in names if not isinstance(name, str)]
    if other:
        raise AttentionError(f"{len(other)} column names of X are no text", "strings", _REWRITE)
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise AttentionError(f"the column {repeated!r} occurs more than once", "unique column names", "drop one")


def _check_finite(X: pd.DataFrame) -> None:
    numeric = X.select_dtypes("float32")
    finite = np.isfinite(numeric.to_numpy()).all(axis=0)
    if not finite.all():
        name = numeric.columns[int(np.argmin(finite))]
        received = f"{int((~finite).sum())} columns of X hold NaN or infinity, first {name!r}"
        raise AttentionError(received, "finite numbers", "fill missing values with 0, as the original does")


def checked_labels(y: Any, rows: int) -> np.ndarray:
    """The labels as (N,) int64.

    Raises:
        AttentionError: not a flat array of `rows` integers; a value other than 0 and 1; one class only.
    """
    labels = _flat("y", y, rows)
    if labels.dtype.kind not in "iub":
        raise AttentionError(f"y has the dtype {labels.dtype}", "integers", "binarise the label: 1 if it is above 0")
    values = np.unique(labels).tolist()
    if values != [0, 1]:
        shown = ", ".join(str(int(value)) for value in values[:5])
        raise AttentionError(f"y holds the values {shown}", "0 and 1, both", "binarise the label: 1 if it is above 0")
    return labels.astype(np.int64)


def _checked_groups(groups: Any, rows: int, min_participants: int) -> np.ndarray:
    values = _flat("group", groups, rows)
    if not all(isinstance(value, str) and value for value in values):
        raise AttentionError("group holds values that are no text", "participant codes such as 'P01'", _REWRITE)
    participants = len(set(values.tolist()))
    if participants < min_participants:
        raise AttentionError(f"{participants} participants", f"at least {min_participants}", "add participants")
    return values.astype(str)


def _flat(name: str, value: Any, rows: int) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise AttentionError(f"{name} is a {type(value).__name__}", "a one-dimensional array", _REWRITE)
    if len(value) != rows:
        raise AttentionError(f"{name} has {len(value)} values, X has {rows} rows", "one value per row", _REWRITE)
    return value


def _usable_times(t: Any, rows: int) -> tuple[np.ndarray | None, str]:
    """Element 4 as float64 seconds, or None and the reason. It is never used for modelling, so it cannot be fatal."""
    if t is None:
        return None, ""
    if not isinstance(t, np.ndarray) or t.ndim != 1 or t.dtype.kind not in "iuf":
        return None, "t is not a flat array of numbers and was dropped"
    if len(t) != rows:
        return None, f"t has {len(t)} values for {rows} rows and was dropped"
    times = t.astype(np.float64)
    if not np.isfinite(times).all() or times.min() < 0:
        # A later data set of the same laboratory puts the raw label, -3 to 3, in this place.
        return None, "t holds values that are no seconds since a midnight and was dropped"
    return times, ""
