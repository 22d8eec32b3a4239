"""A K-EmoPhone pickle becomes checked arrays. Reading is in `unpickler` and `decoding`; nothing is stored here.

The file is untrusted input: its size is capped, its names are on a list, and every element is checked before use.

Source: Kang et al., "K-EmoPhone", Scientific Data 10, 351 (2023), and its supplementary code (the 5-tuple).
"""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.decoding import decoded_array, decoded_instants, decoded_table
from urgency_dagster.attention.reading.unpickler import described, load_data
from urgency_dagster.errors import AttentionError

MAX_BYTES = 2 * 1024**3
"""The real matrix has 34.5 MB; its tenfold replication, the largest known derivative, about 740 MB."""

LONGEST_NAME = 200
"""Letters of a column name or participant code. The original's longest have about 40."""

LEAST_SPAN_S = 3600
"""A study lasts longer than this; a scale of answers, which some data sets have in the place of t, is shorter."""

MIN_PARTICIPANTS = 5
"""The default protocol has five folds, and no fold may share a participant with another."""

SECONDS_PER_DAY = 86_400

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
        max_bytes: larger files are refused unread, and so is a table X that is larger.
        min_participants: the fewest different participants.

    Raises:
        AttentionError: no such file; too large; a name outside the admitted list; not a tuple of 4 or 5; row counts
            that differ; a column that is not bool or float32, not finite, or whose name is no string or not unique;
            y other than integer 0 and 1 with both present; a participant that is no text; too few participants.
        MemoryError: the file asks for more than there is.
    """
    value, sha256 = _read(path, max_bytes)
    if not isinstance(value, tuple) or len(value) not in (4, 5):
        size = f" of {len(value)}" if isinstance(value, tuple) else ""
        raise AttentionError(f"the pickle holds a {described(value)}{size}", "a tuple of 4 or 5", _REWRITE)
    table, y, group, t, *more = value
    X = checked_features(_of_bounded_size(decoded_table(table), max_bytes))
    labels = checked_labels(decoded_array(y), len(X))
    groups = _checked_groups(decoded_array(group), len(X), min_participants)
    warnings: list[str] = []
    t_s = _usable_times(decoded_array(t), more[0] if more else None, len(X), warnings)
    warnings += _one_sided(labels, groups)
    return AttentionData(X, labels, groups, t_s, sha256, tuple(warnings))


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


def _of_bounded_size(X: pd.DataFrame, max_bytes: int) -> pd.DataFrame:
    # One array may stand in the file once and in the table a million times.
    size = int(X.memory_usage(index=False).sum())
    if size > max_bytes:
        raise AttentionError(f"X takes {size:,} bytes", f"at most {max_bytes:,}", "drop unneeded columns")
    return X


def checked_features(X: pd.DataFrame) -> pd.DataFrame:
    """X itself, with a RangeIndex.

    Raises:
        AttentionError: no row or column; names not unique strings; a dtype other than bool and float32; a value that
            is not finite.
    """
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
    other = [name for name in names if not _is_label(name)]
    if other:
        expected = f"printable strings of at most {LONGEST_NAME} letters"
        raise AttentionError(f"{len(other)} column names of X are no text", expected, _REWRITE)
    if len(set(names)) < len(names):
        repeated, _ = Counter(names).most_common(1)[0]
        raise AttentionError(f"the column {repeated!r} occurs more than once", "unique column names", "drop one")


def _is_label(value: Any) -> bool:
    """Whether a value can be written down as a name: no control characters, no lone surrogates."""
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_NAME


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
    if not all(_is_label(value) and value for value in values):
        raise AttentionError("group holds values that are no text", "participant codes such as 'P01'", _REWRITE)
    participants = len(set(values.tolist()))
    if participants < min_participants:
        raise AttentionError(f"{participants} participants", f"at least {min_participants}", "add participants")
    return values.astype(str)


def _flat(name: str, value: Any, rows: int) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise AttentionError(f"{name} is a {described(value)}", "a one-dimensional array", _REWRITE)
    if len(value) != rows:
        raise AttentionError(f"{name} has {len(value)} values, X has {rows} rows", "one value per row", _REWRITE)
    return value


def _usable_times(t: Any, date_times: Any, rows: int, warnings: list[str]) -> np.ndarray | None:
    """Element 4 as float64 seconds, or None and a warning. It is never used for modelling, so it cannot be fatal."""
    local_s = _local_seconds(date_times, rows, warnings)
    if t is None:
        return None
    reason = _fault_of_times(t, rows) or _fault_against(local_s, t)
    if reason:
        warnings.append(f"t {reason} and was dropped")
        return None
    return t.astype(np.float64)


def _fault_of_times(t: Any, rows: int) -> str:
    if not isinstance(t, np.ndarray) or t.ndim != 1 or t.dtype.kind not in "iuf":
        return "is no flat array of numbers"
    if len(t) != rows:
        return f"has {len(t)} values for {rows} rows"
    # A later data set of the same laboratory puts the raw label in this place: -3 to 3, or another short scale.
    if not np.isfinite(t).all() or t.min() < 0 or np.ptp(t) < LEAST_SPAN_S:
        return "holds values that are no seconds since a midnight"
    return ""


def _fault_against(local_s: np.ndarray | None, t: np.ndarray) -> str:
    """Whether t contradicts date_times, which are the same instants in local time."""
    if local_s is None:
        return ""
    midnight = local_s.min() // SECONDS_PER_DAY * SECONDS_PER_DAY
    differ = np.abs(local_s - midnight - t) > 1
    return f"differs from date_times in {differ.sum()} rows" if differ.any() else ""


def _local_seconds(date_times: Any, rows: int, warnings: list[str]) -> np.ndarray | None:
    """Element 5 as local seconds since 1970, to compare t with; None and a warning if it cannot be used."""
    if date_times is None:
        return None
    try:
        local_s = decoded_instants(date_times)
    except AttentionError:
        warnings.append("date_times are no instants and were dropped")
        return None
    if local_s is None:
        warnings.append("date_times have no offset from UTC and were dropped")
    elif len(local_s) != rows:
        warnings.append(f"date_times have {len(local_s)} values for {rows} rows and were dropped")
        return None
    return local_s


def _one_sided(y: np.ndarray, groups: np.ndarray) -> list[str]:
    """A warning if there are participants with one class: a fold of them alone has no AUROC."""
    rates = pd.Series(y).groupby(groups).mean()
    alone = int(rates.isin([0, 1]).sum())
    return [f"{alone} participants have one class only"] if alone else []
