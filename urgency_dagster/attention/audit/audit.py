"""The honesty audit of the cross-validated models: what speaks against their scores, looked for in data and results.

What is looked for is in `crossing`, `leaking_columns`, `history` and `controls`; here it is put together and stored.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.audit.controls import ControlConfig, Controls, control_findings, run_controls
from urgency_dagster.attention.audit.findings import Finding, Kind, Level
from urgency_dagster.attention.audit.label_history import history_findings, verifiable_columns
from urgency_dagster.attention.audit.leaking_columns import column_findings
from urgency_dagster.attention.audit.overlap import crossing_findings
from urgency_dagster.attention.audit.report import audit_report
from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import BASELINE, LEAKAGE_SUSPICION, CrossValidationConfig
from urgency_dagster.attention.validation.results import PREDICTIONS, read_metrics, read_protocol, read_result_table
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.progress import Progress, silent
from urgency_dagster.writing import read_json, write_json, write_text


@dataclass(frozen=True)
class JudgedModels:
    """The stored cross-validations of some models, of the same data and folds.

    Attributes:
        metrics: by model, what `results.write_results` returned.
        predictions: by model, one out-of-fold row per sample, in the order of X.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    predictions: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Audit:
    """What an audit came to.

    Attributes:
        findings: certain ones first.
        controls: the cross-validations it ran.
    """

    findings: tuple[Finding, ...]
    controls: Controls

    def of(self, level: Level) -> list[Finding]:
        """The findings of a level."""
        return [finding for finding in self.findings if finding.level == level]


def audit(
    data: AttentionData,
    judged: JudgedModels,
    config: ControlConfig,
    protocol: CrossValidationConfig,
    progress: Progress = silent,
) -> Audit:
    """Looks for everything that makes scores better than they are.

    Args:
        data: the samples that the models were judged on.
        judged: the models, those of `config` and the baseline among them.
        config: what is run again.
        protocol: that of the judged run.
        progress: told the number of finished cross-validations.
    """
    found = [
        *crossing_findings(data, judged.predictions),
        *column_findings(data, verifiable_columns(data).keys()),
        *history_findings(data),
        *_implausible(judged.metrics),
    ]
    controls = run_controls(data, judged.metrics, config, protocol, progress)
    found += control_findings(controls)
    order = list(Level)
    return Audit(tuple(sorted(found, key=lambda finding: order.index(finding.level))), controls)


def _implausible(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    scores = {model: float(found["mean"]["f1_macro"]) for model, found in metrics.items()}
    above = {model: score for model, score in scores.items() if score > LEAKAGE_SUSPICION}
    if above:
        message = (
            f"These models reach a macro-F1 above {LEAKAGE_SUSPICION:.2f}, honest ones 0.50 to 0.55 on this data set."
        )
        yield Finding.of_names(Level.SUSPICION, Kind.IMPLAUSIBLE_SCORE, message, list(above), above)


def read_judged(paths: AttentionPaths, models: Sequence[str], data: AttentionData) -> JudgedModels:
    """The stored cross-validations of the models.

    Raises:
        ArtefactError: one is missing, or of other samples than `data`, or they were judged differently.
    """
    metrics = {model: read_metrics(paths, model) for model in models}
    predictions = {model: read_result_table(paths, model, PREDICTIONS) for model in models}
    for model in models:
        same_rows = np.array_equal(predictions[model]["y"], data.y) and np.array_equal(
            predictions[model]["participant"].to_numpy(dtype=str), data.groups
        )
        same_protocol = metrics[model]["protocol"] == metrics[models[0]]["protocol"]
        if not (same_rows and same_protocol and metrics[model]["data"]["source_sha256"] == data.source_sha256):
            received = f"{model} was judged on other samples or folds"
            raise ArtefactError(received, "the stored features", f"materialise attention_cv/{model} again")
    return JudgedModels(metrics, predictions)


def write_audit(
    paths: AttentionPaths,
    models: Sequence[str],
    config: ControlConfig,
    backend: CrossValidationConfig,
    progress: Progress = silent,
) -> Audit:
    """Audits the stored models and stores `audit.md` and, last, `audit.json`.

    Args:
        paths: where features and cross-validations are.
        models: the models that were judged, the control models and the baseline among them.
        config: what is run again.
        backend: where the fits run; the protocol is that of the judged run.
        progress: told the number of finished cross-validations.

    Raises:
        ArtefactError: a cross-validation is missing, or of other data or folds than the others.
    """
    not_judged = sorted({*config.models, BASELINE}.difference(models))
    if not_judged:
        received = f"{', '.join(not_judged)} were not judged, but the controls need them"
        raise ArtefactError(received, f"some of {', '.join(models)}", "correct models")
    data = read_features(paths)
    judged = read_judged(paths, models, data)
    protocol = backend.changed(**read_protocol(judged.metrics[models[0]]).model_dump())
    done = audit(data, judged, config, protocol, progress)
    write_text(paths.audit_report, audit_report(done.findings, done.controls))
    write_json(paths.audit, _to_json(done, judged.metrics[models[0]], config))
    return done


def _to_json(done: Audit, judged: Mapping[str, Any], config: ControlConfig) -> dict[str, Any]:
    return {
        **_judged_on(judged),
        "counts": {level.value: len(done.of(level)) for level in Level},
        "findings": [finding.to_json() for finding in done.findings],
        "controls": dataclasses.asdict(done.controls),
        "config": config.model_dump(mode="json"),
    }


def _judged_on(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What an audit and the models that it is of have in common."""
    return {"source_sha256": metrics["data"]["source_sha256"], "protocol": metrics["protocol"]}


def read_findings(paths: AttentionPaths, metrics: Mapping[str, Any]) -> list[Finding]:
    """The findings of the stored audit.

    Args:
        paths: where the audit is.
        metrics: of one of the models that it must be of.

    Raises:
        ArtefactError: there was none, or it was of other data or folds.
    """
    remedy = "materialise attention_audit"
    if not paths.audit.is_file():
        raise ArtefactError(f"{paths.audit.name} is missing", "an audit", remedy)
    stored = read_json(paths.audit)
    expected = _judged_on(metrics)
    if {key: stored.get(key) for key in expected} != expected:
        raise ArtefactError("the audit is of other data or folds than the models", "an audit of these models", remedy)
    return [Finding.from_json(finding) for finding in stored["findings"]]
