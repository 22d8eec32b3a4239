"""The honesty audit of the cross-validated models: runs all checks on data and results, and stores their findings.

The checks are in `overlap`, `leaking_columns`, `label_history` and `controls`.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from urgency_dagster.attention.audit.controls import ControlConfig, Controls, control_findings, run_controls
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.label_history import history_findings, verifiable_columns
from urgency_dagster.attention.audit.leaking_columns import column_findings
from urgency_dagster.attention.audit.overlap import overlap_findings
from urgency_dagster.attention.audit.report import audit_report
from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import BASELINE, LEAKAGE_SUSPICION, CrossValidationConfig
from urgency_dagster.attention.validation.results import PREDICTIONS, read_metrics, read_protocol, read_result_table
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.writing import read_json, write_json, write_text


@dataclass(frozen=True)
class StoredResults:
    """The stored cross-validations of some models on the same data and folds.

    Attributes:
        metrics: content of `metrics.json` by model.
        predictions: out-of-fold rows by model, one per sample, in the order of X.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    predictions: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes:
        findings: all findings, certain ones first.
        controls: the scores of the control cross-validations.
    """

    findings: tuple[Finding, ...]
    controls: Controls

    def of(self, level: Level) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]


def audit(
    data: AttentionData,
    results: StoredResults,
    config: ControlConfig,
    protocol: CrossValidationConfig,
    progress: Progress = no_progress,
) -> Audit:
    """Looks for reasons why the scores may be too high.

    Args:
        data: the samples of the cross-validations.
        results: the stored cross-validations, including the control models and the baseline.
        config: the controls to run.
        protocol: the protocol of the stored cross-validations.
        progress: receives the number of finished cross-validations and the total.
    """
    findings = [
        *overlap_findings(data, results.predictions),
        *column_findings(data, verifiable_columns(data).keys()),
        *history_findings(data),
        *_implausible(results.metrics),
    ]
    controls = run_controls(data, results.metrics, config, protocol, progress)
    findings += control_findings(controls)
    order = list(Level)
    judged = [dataclasses.replace(finding, accepted=finding.id in config.accept) for finding in findings]
    return Audit(tuple(sorted(judged, key=lambda finding: order.index(finding.level))), controls)


def _implausible(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    scores = {model: float(of_model["mean"]["f1_macro"]) for model, of_model in metrics.items()}
    above = {model: score for model, score in scores.items() if score > LEAKAGE_SUSPICION}
    if above:
        message = f"These models reach a macro-F1 above {LEAKAGE_SUSPICION:.2f}. Honest models reach 0.50 to 0.55."
        yield Finding.of_names(Level.SUSPICION, FindingKind.IMPLAUSIBLE_SCORE, message, list(above), above)


def read_results(paths: AttentionPaths, models: Sequence[str], data: AttentionData) -> StoredResults:
    """The stored cross-validations of the models.

    Raises:
        ArtefactError: a cross-validation is missing, was run on other samples than `data`, or by another protocol.
    """
    metrics = {model: read_metrics(paths, model) for model in models}
    predictions = {model: read_result_table(paths, model, PREDICTIONS) for model in models}
    for model in models:
        same_rows = np.array_equal(predictions[model]["y"], data.y) and np.array_equal(
            predictions[model]["participant"].to_numpy(dtype=str), data.groups
        )
        same_protocol = metrics[model]["protocol"] == metrics[models[0]]["protocol"]
        if not (same_rows and same_protocol and metrics[model]["data"]["source_sha256"] == data.source_sha256):
            received = f"{model} was cross-validated on other samples or folds"
            raise ArtefactError(received, "the stored features", f"materialize attention_cv/{model} again")
    return StoredResults(metrics, predictions)


def write_audit(
    paths: AttentionPaths,
    models: Sequence[str],
    config: ControlConfig,
    backend: CrossValidationConfig,
    progress: Progress = no_progress,
) -> Audit:
    """Audits the stored models and stores `audit.md` and, last, `audit.json`.

    Args:
        paths: where features and cross-validations are, and where the audit goes.
        models: the cross-validated models, including the control models and the baseline.
        config: the controls to run.
        backend: where the fits run. The protocol is taken from the stored cross-validations.
        progress: receives the number of finished cross-validations and the total.

    Raises:
        ArtefactError: a cross-validation is missing, or the cross-validations have different data or folds.
    """
    missing = sorted({*config.models, BASELINE}.difference(models))
    if missing:
        received = f"{', '.join(missing)} were not cross-validated, but the controls need them"
        raise ArtefactError(received, f"some of {', '.join(models)}", "correct models")
    data = read_features(paths)
    results = read_results(paths, models, data)
    protocol = backend.changed(**read_protocol(results.metrics[models[0]]).model_dump())
    result = audit(data, results, config, protocol, progress)
    write_text(paths.audit_report, audit_report(result.findings, result.controls, config.accept))
    write_json(paths.audit, _to_json(result, results.metrics[models[0]], config))
    return result


def _to_json(result: Audit, metrics: Mapping[str, Any], config: ControlConfig) -> dict[str, Any]:
    return {
        **_identity(metrics),
        "counts": {level.value: len(result.of(level)) for level in Level},
        "findings": [finding.to_json() for finding in result.findings],
        "controls": dataclasses.asdict(result.controls),
        "config": config.model_dump(mode="json", exclude=set(config.machine)),
    }


def _identity(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Data and protocol, which an audit and its models have in common."""
    return {"source_sha256": metrics["data"]["source_sha256"], "protocol": metrics["protocol"]}


def accepted_findings(paths: AttentionPaths, metrics: Mapping[str, Any]) -> list[Finding]:
    """The accepted findings of the stored audit; none without an audit.

    Raises:
        ArtefactError: the audit is of other data or folds.
    """
    findings = read_findings(paths, metrics) if paths.audit.is_file() else []
    return [finding for finding in findings if finding.accepted]


def read_findings(paths: AttentionPaths, metrics: Mapping[str, Any]) -> list[Finding]:
    """The findings of the stored audit.

    Args:
        paths: where the audit is.
        metrics: stored metrics of one of the audited models.

    Raises:
        ArtefactError: there is no audit, or it is of other data or folds.
    """
    remedy = "materialize attention_audit"
    if not paths.audit.is_file():
        raise ArtefactError(f"{paths.audit.name} is missing", "an audit", remedy)
    stored = read_json(paths.audit)
    expected = _identity(metrics)
    if {key: stored.get(key) for key in expected} != expected:
        raise ArtefactError("audit and models have different data or folds", "an audit of these models", remedy)
    return [Finding.from_json(finding) for finding in stored["findings"]]
