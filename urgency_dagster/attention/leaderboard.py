"""All cross-validated models side by side: a table, a report and pictures, made from stored metrics and their audit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from urgency_dagster.attention.audit import read_findings
from urgency_dagster.attention.audit_report import audit_summary
from urgency_dagster.attention.findings import Finding
from urgency_dagster.attention.protocol import BASELINE, LEAKAGE_SUSPICION
from urgency_dagster.attention.results import read_metrics
from urgency_dagster.errors import ArtefactError
from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.storage import AttentionPaths, replacing, write_text

RANKED_BY = "f1_macro"
COMPARED = {"accuracy": "accuracy", "f1_macro": "macro-F1", "roc_auc": "AUROC"}
"""The scores that are compared, and how the report calls them."""


def write_leaderboard(paths: AttentionPaths, models: Sequence[str]) -> pd.DataFrame:
    """Stores `leaderboard.csv`, `report.md` and two pictures; returns the table, best macro-F1 first.

    Args:
        paths: where the stored metrics and their audit are, and where the leaderboard goes.
        models: the models to compare, the baseline among them.

    Raises:
        ArtefactError: a model has no stored metrics, the baseline is not among them, they were measured on different
            data or folds, or they were not audited.
    """
    if BASELINE not in models:
        raise ArtefactError("the leaderboard has no baseline", f"{BASELINE!r} among the models", "add it")
    metrics = {model: read_metrics(paths, model) for model in models}
    _check_comparable(metrics)
    findings = read_findings(paths, metrics[BASELINE]["data"]["source_sha256"])
    table = leaderboard(metrics)
    with replacing(paths.leaderboard) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    _draw(paths.results_folder / "f1_macro.png", metrics, table, "f1_macro")
    _draw(paths.results_folder / "roc_auc.png", metrics, table, "roc_auc")
    write_text(paths.report, report(metrics, table, findings))
    return table


def _check_comparable(metrics: dict[str, dict[str, Any]]) -> None:
    expected = metrics[BASELINE]
    for model, found in metrics.items():
        if (found["data"], found["protocol"]) != (expected["data"], expected["protocol"]):
            received = f"{model} and {BASELINE} were judged on different data or folds"
            raise ArtefactError(received, "one data set and one protocol", "materialise attention_cv of all models")


def leaderboard(metrics: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """One row per model: mean, sample SD over folds and difference to the baseline of each compared score."""
    baseline = metrics[BASELINE]["mean"]
    rows = []
    for model, found in metrics.items():
        row: dict[str, Any] = {"model": model}
        for score in COMPARED:
            row[f"{score}_mean"] = found["mean"][score]
            row[f"{score}_sd"] = found["sd"][score]
            row[f"{score}_vs_{BASELINE}"] = found["mean"][score] - baseline[score]
        rows.append(row)
    # The name decides ties, so that the order never depends on that of the input.
    order = [f"{RANKED_BY}_mean", "model"]
    return pd.DataFrame(rows).sort_values(order, ascending=[False, True], ignore_index=True)


def report(metrics: dict[str, dict[str, Any]], table: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """The report as Markdown."""
    data, protocol = metrics[BASELINE]["data"], metrics[BASELINE]["protocol"]
    header = ["model", *COMPARED.values(), f"macro-F1 over {BASELINE}"]
    lines = [
        "# Attention models, cross-validated",
        "",
        f"{data['rows']:,} samples of {data['participants']} participants, {data['positive_rate']:.1%} of them "
        f"attentive; {protocol['n_splits']} folds ({protocol['splitter']}, seed {protocol['seed']}) that share no "
        "participant. Scaler and selector are fitted on the training rows of each fold. Mean and sample standard "
        "deviation over folds:",
        "",
        f"| {' | '.join(header)} |",
        f"| --- |{' ---: |' * (len(header) - 1)}",
        *(_report_row(row) for row in table.to_dict("records")),
        "",
        "![macro-F1 by model](f1_macro.png)",
        "",
        "![AUROC by model](roc_auc.png)",
        "",
        f"{audit_summary(findings)} See [audit.md](audit.md).",
        "",
        *_remarks(table),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _report_row(row: dict[Any, Any]) -> str:
    cells = [f"{row[f'{score}_mean']:.3f} ({row[f'{score}_sd']:.3f})" for score in COMPARED]
    return f"| {row['model']} | {' | '.join(cells)} | {row[f'{RANKED_BY}_vs_{BASELINE}']:+.3f} |"


def _remarks(table: pd.DataFrame) -> list[str]:
    suspicious = table.loc[table[f"{RANKED_BY}_mean"] > LEAKAGE_SUSPICION, "model"].tolist()
    behind = (table[f"{RANKED_BY}_vs_{BASELINE}"] <= 0) & (table["model"] != BASELINE)
    not_better = table.loc[behind, "model"].tolist()
    remarks = []
    if suspicious:
        remarks.append(
            f"**Leakage check needed:** {', '.join(suspicious)} reached a macro-F1 above {LEAKAGE_SUSPICION:.2f}. An "
            "honest model for unseen participants reaches 0.50 to 0.55 on this data set. Do not use these scores until "
            "every finding of the audit is explained."
        )
    if not_better:
        remarks.append(f"No better than the baseline: {', '.join(not_better)}.")
    return remarks


def _draw(target: Path, metrics: dict[str, dict[str, Any]], table: pd.DataFrame, score: str) -> None:
    """Each fold a dot, the mean of each model a line; the baseline's mean across."""
    # A label that starts with an underscore stays out of the legend.
    models = table["model"].tolist()
    with picture(target) as axes:
        baseline = metrics[BASELINE]["mean"][score]
        axes.axhline(baseline, color=GREY, linestyle="--", linewidth=1, label=f"{BASELINE} {baseline:.2f}")
        for x, model in enumerate(models):
            values = [fold[score] for fold in metrics[model]["folds"]]
            axes.scatter([x] * len(values), values, s=18, color=BLUE, alpha=0.6, label="fold" if x == 0 else "_")
            mean = metrics[model]["mean"][score]
            axes.plot([x - 0.3, x + 0.3], [mean, mean], color=ORANGE, linewidth=2.5, label="mean" if x == 0 else "_")
        axes.set_xticks(range(len(models)), models)
        axes.set_ylabel(COMPARED[score])
        axes.legend(frameon=False, fontsize="small")
