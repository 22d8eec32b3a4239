"""Writes and reads the stored features, samples and summary."""

from typing import Any

import numpy as np

from urgency_dagster.attention import tables
from urgency_dagster.attention.reading.inventory import feature_summary
from urgency_dagster.attention.reading.pickles import AttentionData, checked_features, checked_labels
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.writing import read_json, write_json, write_table


def write_features(data: AttentionData, paths: AttentionPaths) -> dict[str, Any]:
    """Stores X, the samples and, last, their summary; returns the summary.

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
    summary = feature_summary(data)
    write_json(paths.summary, summary)
    return summary


def read_features(paths: AttentionPaths) -> AttentionData:
    """The stored features and samples.

    Raises:
        ArtefactError: a file is missing, or the files have different numbers of rows.
        AttentionError: a stored value breaks a rule of `AttentionData`.
    """
    import pyarrow.parquet as pq

    for file in (paths.features, paths.samples, paths.summary):
        if not file.is_file():
            raise ArtefactError(f"{file.name} is missing", "the stored features", "materialize attention_features")
    X = checked_features(pq.read_table(paths.features).to_pandas())
    samples = pq.read_table(paths.samples, schema=tables.ATTENTION_SAMPLES).to_pandas()
    summary = read_json(paths.summary)
    if not len(X) == len(samples) == summary["rows"]:
        received = f"{len(X)} rows of features, {len(samples)} samples, {summary['rows']} in the summary"
        raise ArtefactError(received, "the same number in each", "materialize attention_features again")
    return AttentionData(
        X=X,
        y=checked_labels(samples["y"].to_numpy(), len(X)),
        groups=samples["participant"].to_numpy(dtype=str),
        t_s=samples["t_s"].to_numpy(dtype=np.float64) if summary["times_known"] else None,
        source_sha256=summary["source_sha256"],
        warnings=tuple(summary["warnings"]),
    )
