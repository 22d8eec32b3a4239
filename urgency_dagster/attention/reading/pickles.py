"""Reads a K-EmoPhone pickle into checked arrays. `unpickler` reads the file, `decoding` makes arrays of its content.

The file is untrusted: its size is limited, its names must be on an allow-list, and every element is checked.

Source: Kang et al., "K-EmoPhone", Scientific Data 10, 351 (2023), and its supplementary code (the 5-tuple).
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.casts import cast_features, cast_groups, cast_labels
from urgency_dagster.attention.reading.containers import content_of
from urgency_dagster.attention.reading.decoding import decoded_array, decoded_timestamps
from urgency_dagster.attention.reading.dropping import without_columns
from urgency_dagster.attention.reading.elements import REWRITE, elements_of, table_of
from urgency_dagster.attention.reading.unpickler import type_name
from urgency_dagster.errors import AttentionError
from urgency_dagster.writing import text_hash

MAX_BYTES = 2 * 1024**3
"""Default maximum of file and table. The real file has 34.5 MB; the largest known derivative has about 740 MB."""

MAX_NAME_LENGTH = 200
"""Maximum length of a column name or participant code, in characters. The original's longest have about 40."""

MIN_SPAN_S = 3600
"""Minimum range of t, in seconds. A study lasts longer. Some data sets hold an answer scale in the place of t."""

MIN_PARTICIPANTS = 5
"""Minimum number of participants: the default protocol has five folds of different participants."""

SECONDS_PER_DAY = 86_400

FEATURE_DTYPES = ("bool", "float32")
"""The dtypes of X: bool is categorical, float32 is numeric. The K-EmoPhone code casts every column to one of them."""


@dataclass(frozen=True)
class AttentionData:
    """The checked samples of one data set.

    Attributes:
        X: (N, P) features with unique names and a RangeIndex; bool (categorical) or float32 (numeric), all finite.
        y: (N,) int64 labels, 0 or 1; both occur.
        groups: (N,) str, the participant of each row.
        t_s: (N,) float64, seconds since the local midnight of the earliest sample; None if unknown.
        source_sha256: SHA-256 of the pickle; a hash of both if the labels are in a second file.
        warnings: one sentence for each element that was dropped or cast.
    """

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray
    t_s: np.ndarray | None
    source_sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def participants(self) -> int:
        """Number of different participants."""
        return len(np.unique(self.groups))

    def taken(self, rows: np.ndarray, *warnings: str) -> "AttentionData":
        """Some rows, by their int64 positions, with more warnings."""
        return replace(
            self,
            X=self.X.iloc[rows].reset_index(drop=True),
            y=self.y[rows],
            groups=self.groups[rows],
            t_s=None if self.t_s is None else self.t_s[rows],
            warnings=(*self.warnings, *warnings),
        )


def load_attention_pickle(
    path: Path,
    *,
    max_bytes: int = MAX_BYTES,
    min_participants: int = MIN_PARTICIPANTS,
    drop_columns: Sequence[str] = (),
    column_names: Sequence[str] = (),
    labels: Path | None = None,
) -> AttentionData:
    """The checked data of a pickled (X, y, group, t) or (X, y, group, t, date_times), see `elements` for others.

    Args:
        path: a pickle of the K-EmoPhone supplementary code.
        max_bytes: maximum size of the file, and of X in memory.
        min_participants: minimum number of different participants.
        drop_columns: names or patterns of columns that are left out before they are checked.
        column_names: the names of the columns, in order, if X is an array.
        labels: a Parquet file with y, group and perhaps t, if the first file holds X alone. It may be absent.

    Raises:
        AttentionError: the file is missing, too large, damaged or of another kind; it names an object outside the
            allow-list; it is not a tuple of 4 or 5; row counts differ; a column of X is neither bool nor castable to
            float32 without loss, not finite, or has a repeated or invalid name; y is not 0 and 1 with both values; a
            participant is neither text nor a whole number; there are too few participants.
        MemoryError: the memory is not enough.
    """
    warnings: list[str] = []
    value, labels_table, sha256 = _read_both(path, labels, max_bytes, warnings)
    elements = elements_of(value, labels_table, warnings)
    table = _of_bounded_size(table_of(elements, column_names), max_bytes)
    X = checked_features(cast_features(without_columns(table, drop_columns), warnings))
    y = checked_labels(cast_labels(decoded_array(elements.y), warnings), len(X))
    groups = _checked_groups(cast_groups(decoded_array(elements.group), warnings), len(X), min_participants)
    t_s = _usable_times(decoded_array(elements.t), elements.date_times, len(X), warnings)
    warnings += _one_sided(y, groups)
    return AttentionData(X, y, groups, t_s, sha256, tuple(warnings))


def _read_both(
    path: Path, labels: Path | None, max_bytes: int, warnings: list[str]
) -> tuple[Any, pd.DataFrame | None, str]:
    """The content of the file, the table of the second file if there is one, and the SHA-256 of both."""
    value, sha256 = _read(path, max_bytes, warnings)
    if labels is None or not labels.is_file():
        return value, None, sha256
    table, second = _read(labels, max_bytes, warnings)
    if not isinstance(table, pd.DataFrame):
        raise AttentionError(f"{labels.name} is not Parquet", "Parquet with y, group and perhaps t", "convert it")
    return value, table, text_hash(sha256, second)


def _read(path: Path, max_bytes: int, warnings: list[str]) -> tuple[Any, str]:
    """The content of the file and the SHA-256 of the same open file."""
    if not path.is_file():
        raise AttentionError(f"there is no file {path.name}", "an attention pickle", f"put it into {path.parent}")
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > max_bytes:
            raise AttentionError(f"{path.name} has {size:,} bytes", f"at most {max_bytes:,}", "drop unneeded columns")
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        return content_of(stream, max_bytes, warnings), sha256


def _of_bounded_size(X: pd.DataFrame, max_bytes: int) -> pd.DataFrame:
    # A pickle can hold one array once and refer to it a million times.
    size = int(X.memory_usage(index=False).sum())
    if size > max_bytes:
        raise AttentionError(f"X takes {size:,} bytes", f"at most {max_bytes:,}", "drop unneeded columns")
    return X


def checked_features(X: pd.DataFrame) -> pd.DataFrame:
    """X with a RangeIndex, if it is valid.

    Raises:
        AttentionError: X has no row or no column; a name is not a unique string; a dtype is not bool or float32; a
            value is not finite.
    """
    if X.shape[0] == 0 or X.shape[1] == 0:
        raise AttentionError(f"X has the shape {X.shape}", "at least one row and one column", REWRITE)
    _check_names(list(X.columns))
    wrong = [(name, str(dtype)) for name, dtype in X.dtypes.items() if str(dtype) not in FEATURE_DTYPES]
    if wrong:
        received = f"{len(wrong)} columns of X have another dtype, first {wrong[0][0]!r}: {wrong[0][1]}"
        raise AttentionError(received, "bool or float32", "cast categorical columns to bool, numeric ones to float32")
    _check_finite(X)
    return X.reset_index(drop=True)


def _check_names(names: list[Any]) -> None:
    invalid = [name for name in names if not _is_name(name)]
    if invalid:
        expected = f"printable strings of at most {MAX_NAME_LENGTH} characters"
        raise AttentionError(f"{len(invalid)} column names of X are not valid text", expected, REWRITE)
    if len(set(names)) < len(names):
        repeated, _ = Counter(names).most_common(1)[0]
        raise AttentionError(f"the column {repeated!r} occurs more than once", "unique column names", "drop one")


def _is_name(value: Any) -> bool:
    """Whether a value is a printable string: no control characters, no lone surrogates."""
    return isinstance(value, str) and value.isprintable() and len(value) <= MAX_NAME_LENGTH


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
        AttentionError: y is not a one-dimensional array of `rows` integers, holds a value other than 0 and 1, or has
            one class only.
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
    if not all(_is_name(value) and value for value in values):
        raise AttentionError("group holds values that are not text", "participant codes such as 'P01'", REWRITE)
    participants = len(set(values.tolist()))
    if participants < min_participants:
        raise AttentionError(f"{participants} participants", f"at least {min_participants}", "add participants")
    return values.astype(str)


def _flat(name: str, value: Any, rows: int) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise AttentionError(f"{name} is a {type_name(value)}", "a one-dimensional array", REWRITE)
    if len(value) != rows:
        raise AttentionError(f"{name} has {len(value)} values, X has {rows} rows", "one value per row", REWRITE)
    return value


def _usable_times(t: Any, date_times: Any, rows: int, warnings: list[str]) -> np.ndarray | None:
    """Element 4 as float64 seconds, or None and a warning. No model uses it, so an invalid t is not an error."""
    local_s = _local_seconds(date_times, rows, warnings)
    if t is None:
        return None
    reason = _fault_of_times(t, rows) or _fault_against(local_s, t)
    if reason:
        warnings.append(f"t {reason} and was dropped")
        return None
    seconds: np.ndarray = t.astype(np.float64)
    return seconds


def _fault_of_times(t: Any, rows: int) -> str:
    if not isinstance(t, np.ndarray) or t.ndim != 1 or t.dtype.kind not in "iuf":
        return "is not a one-dimensional array of numbers"
    if len(t) != rows:
        return f"has {len(t)} values for {rows} rows"
    # A later data set of the same laboratory holds the raw label in this place: -3 to 3, or another short scale.
    if not np.isfinite(t).all() or t.min() < 0 or np.ptp(t) < MIN_SPAN_S:
        return "holds values that are not seconds since a midnight"
    return ""


def _fault_against(local_s: np.ndarray | None, t: np.ndarray) -> str:
    """How t contradicts date_times, the same timestamps in local time; empty if it does not."""
    if local_s is None:
        return ""
    midnight = local_s.min() // SECONDS_PER_DAY * SECONDS_PER_DAY
    differ = np.abs(local_s - midnight - t) > 1
    return f"differs from date_times in {differ.sum()} rows" if differ.any() else ""


def _local_seconds(date_times: Any, rows: int, warnings: list[str]) -> np.ndarray | None:
    """Element 5 as local seconds since 1970, for the comparison with t; None and a warning if it is unusable."""
    if date_times is None:
        return None
    try:
        local_s = decoded_timestamps(date_times)
    except AttentionError:
        warnings.append("date_times are not timestamps and were dropped")
        return None
    if local_s is None:
        warnings.append("date_times have no offset from UTC and were dropped")
    elif len(local_s) != rows:
        warnings.append(f"date_times have {len(local_s)} values for {rows} rows and were dropped")
        return None
    return local_s


def _one_sided(y: np.ndarray, groups: np.ndarray) -> list[str]:
    """A warning if participants have one class only: a fold of such a participant has no AUROC."""
    rates = pd.Series(y).groupby(groups).mean()
    one_class = int(rates.isin([0, 1]).sum())
    return [f"{one_class} participants have one class only"] if one_class else []
