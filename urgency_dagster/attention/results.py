"""The stored results of one cross-validated model. Nothing is fitted or compared here (see `leaderboard`)."""

from dataclasses import asdict
from typing import Any

from urgency_dagster import tables
from urgency_dagster.attention.protocol import THRESHOLD, ModelResult, Protocol
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.storage import AttentionPaths, read_json, write_json, write_table

METRICS = "metrics.json"


def summarise(result: ModelResult) -> dict[str, Any]:
    """The scores of each fold, their mean and sample standard deviation, and what they were measured on.

    Mean and deviation are over the folds that have the score, which `folds_with_score` counts.
    """
    scores = result.folds[list(tables.ATTENTION_SCORES)]
    return {
        "model": result.model,
        # JSON has no NaN: a score that does not exist in a fold is null.
        "folds": result.folds.astype(object).where(result.folds.notna(), None).to_dict("records"),
        "folds_with_score": {name: int(n) for name, n in scores.notna().sum().items()},
        "mean": scores.mean().to_dict(),
        "sd": scores.std(ddof=1).to_dict(),
        "threshold": THRESHOLD,
        "data": {
            "source_sha256": result.source_sha256,
            "rows": len(result.predictions),
            "participants": int(result.predictions["participant"].nunique()),
            "positive_rate": float(result.predictions["y"].mean()),
        },
        "protocol": asdict(result.config.protocol),
    }


def write_results(result: ModelResult, paths: AttentionPaths) -> dict[str, Any]:
    """Stores `predictions.parquet`, `folds.parquet` and, last, `metrics.json`; returns what the last one holds."""
    import pyarrow as pa

    folder = paths.results(result.model)
    for name, table, schema in (
        ("predictions.parquet", result.predictions, tables.ATTENTION_PREDICTIONS),
        ("folds.parquet", result.folds, tables.ATTENTION_FOLDS),
    ):
        # The schema alone is stored, without pandas' own metadata, whose version would change the bytes.
        columns = {field.name: pa.array(table[field.name], field.type) for field in schema}
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


def read_protocol(metrics: dict[str, Any]) -> Protocol:
    """The protocol that a model was judged by, from its stored metrics.

    Raises:
        ArtefactError: it is not one that this version knows.
    """
    try:
        return Protocol(**metrics["protocol"])
    except (KeyError, TypeError, AttentionError) as error:
        received, model = "the metrics hold an unknown protocol", metrics.get("model", "<model>")
        raise ArtefactError(received, "one of this version", f"materialise attention_cv/{model} again") from error
