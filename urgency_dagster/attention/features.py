"""Feature names, and the features as stored tables. No feature is computed here, and no model is known here.

Source: the name grammar is that of the K-EmoPhone supplementary code and its derivatives.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from urgency_dagster import tables
from urgency_dagster.attention.pickles import AttentionData, checked_features, checked_labels
from urgency_dagster.errors import ArtefactError
from urgency_dagster.storage import AttentionPaths, read_json, write_json, write_table

WINDOW_S = {
    "S30": 30,
    "M01": 60,
    "M05": 300,
    "M10": 600,
    "M30": 1800,
    "H01": 3600,
    "H03": 10_800,
    "H06": 21_600,
    "H12": 43_200,
    "H24": 86_400,
}
"""Seconds of each window tag."""

_NAME = re.compile(
    r"(?P<stream>[^#=]+)#(?P<statistic>[^#=]+)(?:=(?P<value>[^#]+))?(?:#(?P<window>[A-Z]\d\d|[1-9]\d*))?"
)


@dataclass(frozen=True)
class FeatureName:
    """The parts of `STREAM#STATISTIC=value#WINDOW`, of which value and window may be absent.

    Attributes:
        stream: the sensor stream (`HRT`, `DST_MOT`, `bpm`), or `PIF` (participant), or `ESM` (time, past labels).
        statistic: `AVG`, `VAL`, `DSC`, `DUR`, ...; for PIF and ESM the item (`AGE`, `DOW`, `LIK`).
        value: the category that the feature is about (`WALKING`), or None.
        window_s: the length of the window in seconds, or None for a feature of the instant.
    """

    stream: str
    statistic: str
    value: str | None = None
    window_s: int | None = None


def parse_feature_name(name: str) -> FeatureName | None:
    """The parts of a feature's name; None when it does not follow the grammar.

    The window is a tag (`M05`) or whole seconds (`300`); streams may be of any case.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stream, statistic, value, window = match.group("stream", "statistic", "value", "window")
    if window is None or window.isdigit():
        return FeatureName(stream, statistic, value, int(window) if window else None)
    return FeatureName(stream, statistic, value, WINDOW_S[window]) if window in WINDOW_S else None


def summarise(data: AttentionData) -> dict[str, Any]:
    """Counts of samples and of features by stream, statistic and window (seconds), as JSON values."""
    names = [parse_feature_name(name) for name in data.X.columns]
    known = [name for name in names if name is not None]
    categorical = sum(str(dtype) == "bool" for dtype in data.X.dtypes)
    return {
        "source_sha256": data.source_sha256,
        "rows": len(data.X),
        "participants": data.participants,
        "positive_rate": float(data.y.mean()),
        "features": {
            "total": len(names),
            "categorical": categorical,
            "numeric": len(names) - categorical,
            "outside_grammar": len(names) - len(known),
            "by_stream": _counts(name.stream for name in known),
            "by_statistic": _counts(name.statistic for name in known),
            "by_window_s": _counts(name.window_s for name in known if name.window_s is not None),
        },
        "times_known": data.t_s is not None,
        "warnings": list(data.warnings),
    }


def _counts(values: Iterable[Hashable]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).items()}


def write_features(data: AttentionData, paths: AttentionPaths) -> dict[str, Any]:
    """Stores X, the samples and their summary, the summary last; returns the summary.

    The same data gives the same bytes.
    """
    import pyarrow as pa

    X = data.X
    write_table(paths.features, pa.table({name: X[name].to_numpy() for name in X.columns}))
    samples = {
        "row": np.arange(len(X)),
        "y": data.y,
        "participant": data.groups.tolist(),
        "t_s": [None] * len(X) if data.t_s is None else data.t_s,
    }
    write_table(paths.samples, pa.table(samples, schema=tables.ATTENTION_SAMPLES))
    summary = summarise(data)
    write_json(paths.summary, summary)
    return summary


def read_features(paths: AttentionPaths) -> AttentionData:
    """The stored features and samples.

    Raises:
        ArtefactError: a file is missing, or the files do not belong together.
        AttentionError: the stored values break a rule of `AttentionData`.
    """
    import pyarrow.parquet as pq

    for file in (paths.features, paths.samples, paths.summary):
        if not file.is_file():
            raise ArtefactError(f"{file.name} is missing", "the stored features", "materialise attention_features")
    X = checked_features(pq.read_table(paths.features).to_pandas())
    samples = pq.read_table(paths.samples, schema=tables.ATTENTION_SAMPLES).to_pandas()
    summary = read_json(paths.summary)
    if not len(X) == len(samples) == summary["rows"]:
        received = f"{len(X)} rows of features, {len(samples)} samples, {summary['rows']} in the summary"
        raise ArtefactError(received, "one number", "materialise attention_features again")
    return AttentionData(
        X=X,
        y=checked_labels(samples["y"].to_numpy(), len(X)),
        groups=samples["participant"].to_numpy(dtype=str),
        t_s=samples["t_s"].to_numpy(dtype=np.float64) if summary["times_known"] else None,
        source_sha256=summary["source_sha256"],
        warnings=tuple(summary["warnings"]),
    )
