"""Writes and reads the stored results of one cross-validated model. `leaderboard` compares models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention import tables
from urgency_dagster.attention.validation.bootstrap import bootstrap_scores, intervals
from urgency_dagster.attention.validation.metrics import calibration_error, participant_table, reliability_bins, scores
from urgency_dagster.attention.validation.protocol import THRESHOLD, ModelResult, Protocol
from urgency_dagster.errors import ArtefactError, SettingsError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.writing import read_json, write_json, write_table

METRICS, PREDICTIONS, PARTICIPANTS = "metrics.json", "predictions.parquet", "participants.parquet"
BOOTSTRAP = "bootstrap.parquet"


def result_metrics(result: ModelResult, samples: pd.DataFrame) -> dict[str, Any]:
    """The content of `metrics.json`: scores, intervals, calibration, data and protocol.

    Args:
        result: the cross-validation of one model.
        samples: its scores on bootstrap samples (see `bootstrap_scores`).

    Returns:
        `folds`, their `mean`, sample standard deviation `sd` and `interval_folds` (95 %, Student's t); `pooled` scores
        of all out-of-fold rows and `interval_participants` (95 %, bootstrap over participants); `train_mean`;
        `calibration`. Means over folds use the folds in which a score is defined; `folds_with_score` counts them.
    """
    of_folds = result.folds[list(tables.ATTENTION_SCORES)]
    return {
        "model": result.model,
        # JSON has no NaN: an undefined score is null.
        "folds": result.folds.astype(object).where(result.folds.notna(), None).to_dict("records"),
        "folds_with_score": {name: int(n) for name, n in of_folds.notna().sum().items()},
        "mean": of_folds.mean().to_dict(),
        "sd": of_folds.std(ddof=1).to_dict(),
        "interval_folds": _fold_intervals(of_folds),
        "pooled": _pooled(result),
        "interval_participants": intervals(samples),
        "train_mean": {name: float(result.folds[f"train_{name}"].mean()) for name in tables.ATTENTION_SCORES},
        "calibration": _calibration(result),
        "threshold": THRESHOLD,
        "data": {
            "source_sha256": result.source_sha256,
            "rows": len(result.predictions),
            "participants": int(result.predictions["participant"].nunique()),
            "positive_rate": float(result.predictions["y"].mean()),
        },
        "protocol": Protocol.of(result.config).model_dump(),
    }


def _fold_intervals(of_folds: pd.DataFrame) -> dict[str, list[float]]:
    """The 95 % interval of the mean over folds. Folds share training rows, so the interval is too narrow."""
    from scipy.stats import t

    folds = of_folds.notna().sum()
    half = t.ppf(0.975, folds - 1) * of_folds.std(ddof=1) / np.sqrt(folds)
    low, high = of_folds.mean() - half, of_folds.mean() + half
    return {str(name): [float(low[name]), float(high[name])] for name in of_folds}


def _pooled(result: ModelResult) -> dict[str, float]:
    return scores(*(result.predictions[name].to_numpy() for name in ("y", "predicted", "probability")))


def _calibration(result: ModelResult) -> dict[str, Any]:
    bins = reliability_bins(result.predictions)
    return {"error": calibration_error(bins), "bins": bins}


def write_results(result: ModelResult, paths: AttentionPaths) -> dict[str, Any]:
    """Stores the tables of a model and, last, `metrics.json`; returns the content of `metrics.json`."""
    import pyarrow as pa

    folder = paths.results(result.model)
    samples = bootstrap_scores(result.predictions, result.config.seed)
    for name, table, schema in (
        (PREDICTIONS, result.predictions, tables.ATTENTION_PREDICTIONS),
        ("folds.parquet", result.folds, tables.ATTENTION_FOLDS),
        ("importances.parquet", result.importances, tables.ATTENTION_IMPORTANCES),
        (PARTICIPANTS, participant_table(result.predictions), tables.ATTENTION_PARTICIPANTS),
        (BOOTSTRAP, samples, tables.ATTENTION_BOOTSTRAP),
    ):
        # pandas would add metadata with its own version, which would change the bytes.
        columns = {field.name: pa.array(table[field.name], field.type) for field in schema}
        write_table(folder / name, pa.table(columns, schema=schema))
    metrics = result_metrics(result, samples)
    write_json(folder / METRICS, metrics)
    return metrics


def read_result_table(paths: AttentionPaths, model: str, name: str) -> pd.DataFrame:
    """A table of a model that `write_results` stored.

    Raises:
        ArtefactError: the model was not cross-validated.
    """
    import pyarrow.parquet as pq

    source = paths.results(model) / name
    if not source.is_file():
        raise ArtefactError(f"{model} has no {name}", "a cross-validated model", f"materialize attention_cv/{model}")
    table: pd.DataFrame = pq.read_table(source).to_pandas()
    return table


def read_bootstrap(paths: AttentionPaths, model: str, seed: int) -> pd.DataFrame:
    """The scores of a model on bootstrap samples (see `bootstrap_scores`).

    Older versions stored no bootstrap samples. They are computed then, with the same result.
    """
    if (paths.results(model) / BOOTSTRAP).is_file():
        return read_result_table(paths, model, BOOTSTRAP)
    return bootstrap_scores(read_result_table(paths, model, PREDICTIONS), seed)


def read_metrics(paths: AttentionPaths, model: str) -> dict[str, Any]:
    """The content of a model's `metrics.json`.

    Raises:
        ArtefactError: the model was not cross-validated.
    """
    source = paths.results(model) / METRICS
    if not source.is_file():
        raise ArtefactError(f"{model} has no {METRICS}", "a cross-validated model", f"materialize attention_cv/{model}")
    metrics: dict[str, Any] = read_json(source)
    return metrics


def read_protocol(metrics: Mapping[str, Any]) -> Protocol:
    """The protocol of a cross-validation, from its stored metrics.

    Raises:
        ArtefactError: this version does not know the protocol, or an option of this version is not in it.
    """
    try:
        stored = metrics["protocol"]
        # The default of an option that another version did not have may give other numbers.
        return Protocol(**{name: stored[name] for name in {**stored, **Protocol.model_fields}})
    except (KeyError, TypeError, SettingsError) as error:
        received, model = "the metrics hold an unknown protocol", metrics.get("model", "<model>")
        remedy = f"materialize attention_cv/{model} again"
        raise ArtefactError(received, "a protocol of this version", remedy) from error
