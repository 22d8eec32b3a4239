"""The stored results of one cross-validated model. Nothing is fitted or compared here (see `leaderboard`)."""

from typing import TYPE_CHECKING, Any

from urgency_dagster import tables
from urgency_dagster.attention.protocol import THRESHOLD, ModelResult
from urgency_dagster.errors import ArtefactError
from urgency_dagster.storage import AttentionPaths, read_json, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

METRICS = "metrics.json"
PREDICTIONS = "predictions.parquet"


def summarise(result: ModelResult) -> dict[str, Any]:
    """The scores of each fold, their mean and sample standard deviation, and what they were measured on."""
    scores = result.folds[list(tables.ATTENTION_SCORES)]
    return {
        "model": result.model,
        "folds": result.folds.to_dict("records"),
        "mean": scores.mean().to_dict(),
        "sd": scores.std(ddof=1).to_dict(),
        "threshold": THRESHOLD,
        "data": {
            "source_sha256": result.source_sha256,
            "rows": len(result.predictions),
            "participants": int(result.predictions["participant"].nunique()),
            "positive_rate": float(result.predictions["y"].mean()),
        },
        "protocol": {
            "splitter": "StratifiedGroupKFold",
            "n_splits": result.config.n_splits,
            "seed": result.config.seed,
        },
    }


def write_results(result: ModelResult, paths: AttentionPaths) -> dict[str, Any]:
    """Stores `predictions.parquet`, `folds.parquet` and, last, `metrics.json`; returns what the last one holds."""
    import pyarrow as pa

    folder = paths.results(result.model)
    for name, table, schema in (
        (PREDICTIONS, result.predictions, tables.ATTENTION_PREDICTIONS),
        ("folds.parquet", result.folds, tables.ATTENTION_FOLDS),
    ):
        # The schema alone is stored, without pandas' own metadata, whose version would change the bytes.
        columns = {field: table[field].tolist() for field in schema.names}
        write_table(folder / name, pa.table(columns, schema=schema))
    summary = summarise(result)
    write_json(folder / METRICS, summary)
    return summary


def read_metrics(paths: AttentionPaths, model: str) -> dict[str, Any]:
    """What `write_results` stored last for a model.

    Raises:
        ArtefactError: the model was not cross-validated.
    """
    source = paths.results(model) / METRICS
    if not source.is_file():
        raise ArtefactError(f"{model} has no {METRICS}", "a cross-validated model", f"materialise attention_cv/{model}")
    metrics: dict[str, Any] = read_json(source)
    return metrics


def read_predictions(paths: AttentionPaths, model: str) -> "pd.DataFrame":
    """The out-of-fold rows that `write_results` stored for a model, in the order of X.

    Raises:
        ArtefactError: the model was not cross-validated.
    """
    import pyarrow.parquet as pq

    source = paths.results(model) / PREDICTIONS
    if not source.is_file():
        raise ArtefactError(
            f"{model} has no {PREDICTIONS}", "a cross-validated model", f"materialise attention_cv/{model}"
        )
    return pq.read_table(source, schema=tables.ATTENTION_PREDICTIONS).to_pandas().sort_values("row", ignore_index=True)
