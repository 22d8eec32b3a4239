"""The leaderboard: compares all cross-validated models in tables, a report and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from urgency_dagster.attention.audit.audit import read_findings
from urgency_dagster.attention.audit.findings import Finding
from urgency_dagster.attention.audit.report import accepted_kinds, audit_summary
from urgency_dagster.attention.validation.bootstrap import intervals
from urgency_dagster.attention.validation.protocol import BASELINE, LEAKAGE_SUSPICION
from urgency_dagster.attention.validation.results import PARTICIPANTS, read_bootstrap, read_metrics, read_result_table
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.statistics.bootstrap import RESAMPLES
from urgency_dagster.writing import replacing, write_text

RANKED_BY = "f1_macro"
COMPARED = {"accuracy": "accuracy", "f1_macro": "macro-F1", "roc_auc": "AUROC"}
"""The compared scores, and their names in the report."""

PICTURES = {
    "f1_macro.png": "macro-F1 by model",
    "roc_auc.png": "AUROC by model",
    "calibration.png": "calibration",
    "participants.png": "accuracy by participant",
}
"""The pictures of the report, in order, with their titles."""


def write_leaderboard(paths: AttentionPaths, models: Sequence[str]) -> pd.DataFrame:
    """Stores `leaderboard.csv`, `differences.csv`, `report.md` and pictures; returns the table, best macro-F1 first.

    Args:
        paths: where the stored results and the audit are, and where the leaderboard goes.
        models: the models to compare, including the baseline.

    Raises:
        ArtefactError: a model has no stored metrics, the baseline is missing, the models have different data or folds,
            or there is no audit of them.
    """
    if BASELINE not in models:
        raise ArtefactError("the leaderboard has no baseline", f"{BASELINE!r} among the models", "add it")
    metrics = {model: read_metrics(paths, model) for model in models}
    _check_comparable(metrics)
    findings = read_findings(paths, metrics[BASELINE])
    table = leaderboard(metrics)
    ranked = table["model"].tolist()
    samples = {model: read_bootstrap(paths, model, metrics[model]["protocol"]["seed"]) for model in ranked}
    differences = paired_differences(metrics, samples)
    for target, rows in ((paths.leaderboard, table), (paths.differences, differences)):
        with replacing(target) as temporary:
            rows.to_csv(temporary, index=False, lineterminator="\n")
    _draw(paths.results_folder / "f1_macro.png", metrics, table, "f1_macro")
    _draw(paths.results_folder / "roc_auc.png", metrics, table, "roc_auc")
    draw_calibration(paths.results_folder / "calibration.png", {model: metrics[model] for model in ranked})
    draw_participants(
        paths.results_folder / "participants.png", read_result_table(paths, ranked[0], PARTICIPANTS), ranked[0]
    )
    write_text(paths.report, report(metrics, table, differences, findings))
    return table


def paired_differences(metrics: Mapping[str, Mapping[str, Any]], samples: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The difference of every pair of models, with a paired bootstrap interval.

    Both models of a pair are scored on the same bootstrap samples. Participants that are easy or hard for both models
    therefore do not widen the interval of the difference.

    Args:
        metrics: stored metrics by model.
        samples: scores on bootstrap samples by model (see `bootstrap_scores`), in the order of the comparison.

    Returns:
        One row per pair and compared score: `model, than, score, difference` (of the pooled scores), and `low` and
        `high` of the 95 % interval.
    """
    rows = []
    for model, than in combinations(samples, 2):
        bounds = intervals(samples[model] - samples[than])
        for score in COMPARED:
            difference = metrics[model]["pooled"][score] - metrics[than]["pooled"][score]
            low, high = bounds[score] or (None, None)
            rows.append(
                {"model": model, "than": than, "score": score, "difference": difference, "low": low, "high": high}
            )
    return pd.DataFrame(rows)


def _check_comparable(metrics: dict[str, dict[str, Any]]) -> None:
    expected = metrics[BASELINE]
    for model, of_model in metrics.items():
        if (of_model["data"], of_model["protocol"]) != (expected["data"], expected["protocol"]):
            received = f"{model} and {BASELINE} were cross-validated on different data or folds"
            raise ArtefactError(received, "one data set and one protocol", "materialize attention_cv of all models")


def leaderboard(metrics: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """One row per model: mean and sample SD over folds of each compared score, and its difference to the baseline."""
    baseline = metrics[BASELINE]["mean"]
    rows = []
    for model, of_model in metrics.items():
        row: dict[str, Any] = {"model": model}
        for score in COMPARED:
            row[f"{score}_mean"] = of_model["mean"][score]
            row[f"{score}_sd"] = of_model["sd"][score]
            row[f"{score}_vs_{BASELINE}"] = of_model["mean"][score] - baseline[score]
        rows.append(row)
    # Ties are sorted by name, so that the order of the input has no effect.
    order = [f"{RANKED_BY}_mean", "model"]
    return pd.DataFrame(rows).sort_values(order, ascending=[False, True], ignore_index=True)


def report(
    metrics: dict[str, dict[str, Any]], table: pd.DataFrame, differences: pd.DataFrame, findings: Sequence[Finding]
) -> str:
    """The report as Markdown."""
    ranked = table["model"].tolist()
    lines = [
        f"# Attention models, cross-validated{accepted_kinds(findings)}",
        "",
        *_fold_section(metrics[BASELINE], table),
        *_pooled_section([metrics[model] for model in ranked]),
        *_difference_section(differences, ranked),
        *(f"![{title}]({name})\n" for name, title in PICTURES.items()),
        f"{audit_summary(findings)} See [audit.md](audit.md).",
        "",
        *_remarks(table),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _fold_section(baseline: Mapping[str, Any], table: pd.DataFrame) -> Iterator[str]:
    data, protocol, folds = baseline["data"], baseline["protocol"], len(baseline["folds"])
    of_one_class = folds - baseline["folds_with_score"]["roc_auc"]
    exception = f" (macro-F1 and AUROC without {of_one_class} folds of one class)" if of_one_class else ""
    yield (
        f"{data['rows']:,} samples of {data['participants']} participants, {data['positive_rate']:.1%} of them "
        f"attentive; {folds} folds ({protocol['splitter']}, seed {protocol['seed']}) of different participants. Scaler "
        "and selector are fitted on the training rows of each fold. Mean and sample standard deviation over "
        f"folds{exception}:\n"
    )
    yield from _header("model", *COMPARED.values(), f"macro-F1 over {BASELINE}")
    yield from (_report_row(row) for row in table.to_dict("records"))
    yield ""


def _pooled_section(metrics: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        f"Scores of all out-of-fold rows, with 95 % bootstrap intervals over participants ({RESAMPLES:,} samples). A "
        "much higher macro-F1 of the training rows is a sign of overfitting:\n"
    )
    yield from _header("model", *COMPARED.values(), "calibration error", "macro-F1 of training rows")
    yield from map(_pooled_row, metrics)
    yield ""


def _difference_section(differences: pd.DataFrame, ranked: Sequence[str]) -> Iterator[str]:
    yield "## Differences\n"
    yield (
        "Difference in macro-F1 of all out-of-fold rows, with a paired bootstrap interval over participants. If the "
        "interval contains 0, neither model is shown to be better. All pairs and scores: `differences.csv`.\n"
    )
    yield from _header("", "difference", "95 % interval")
    yield from _difference_rows(differences, ranked)
    yield ""


def _header(first: str, *others: str) -> Iterator[str]:
    yield f"| {' | '.join((first, *others))} |"
    yield f"| --- |{' ---: |' * len(others)}"


def _report_row(row: dict[Any, Any]) -> str:
    cells = [f"{row[f'{score}_mean']:.3f} ({row[f'{score}_sd']:.3f})" for score in COMPARED]
    return f"| {row['model']} | {' | '.join(cells)} | {row[f'{RANKED_BY}_vs_{BASELINE}']:+.3f} |"


def _pooled_row(metrics: Mapping[str, Any]) -> str:
    pooled, intervals_by_score = metrics["pooled"], metrics["interval_participants"]
    cells = [f"{pooled[score]:.3f} {_brackets(intervals_by_score[score])}".strip() for score in COMPARED]
    cells += [f"{metrics['calibration']['error']:.3f}", f"{metrics['train_mean'][RANKED_BY]:.3f}"]
    return f"| {metrics['model']} | {' | '.join(cells)} |"


def _brackets(bounds: Sequence[float] | None) -> str:
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""


def _difference_rows(differences: pd.DataFrame, ranked: Sequence[str]) -> Iterator[str]:
    """The best model against the others, and the others against the baseline."""
    rows = differences[differences["score"] == RANKED_BY]
    best = rows["model"] == ranked[0]
    over_baseline = rows["than"] == BASELINE
    for row in rows[best | over_baseline].to_dict("records"):
        interval = f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        yield f"| {row['model']} over {row['than']} | {row['difference']:+.3f} | {interval} |"


def _remarks(table: pd.DataFrame) -> list[str]:
    suspicious = table.loc[table[f"{RANKED_BY}_mean"] > LEAKAGE_SUSPICION, "model"].tolist()
    below_baseline = (table[f"{RANKED_BY}_vs_{BASELINE}"] <= 0) & (table["model"] != BASELINE)
    not_better = table.loc[below_baseline, "model"].tolist()
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
    """One dot per fold, a line for the mean of each model, and a dashed line for the mean of the baseline."""
    # matplotlib leaves labels that start with an underscore out of the legend.
    models = table["model"].tolist()
    with picture(target) as axes:
        baseline = metrics[BASELINE]["mean"][score]
        axes.axhline(baseline, color=GREY, linestyle="--", linewidth=1, label=f"{BASELINE} {baseline:.2f}")
        for x, model in enumerate(models):
            values = [fold[score] for fold in metrics[model]["folds"] if fold[score] is not None]
            axes.scatter([x] * len(values), values, s=18, color=BLUE, alpha=0.6, label="fold" if x == 0 else "_")
            mean = metrics[model]["mean"][score]
            axes.plot([x - 0.3, x + 0.3], [mean, mean], color=ORANGE, linewidth=2.5, label="mean" if x == 0 else "_")
        axes.set_xticks(range(len(models)), models)
        axes.set_ylabel(COMPARED[score])
        axes.legend(frameon=False, fontsize="small")


def draw_calibration(target: Path, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """The share of class 1 against its predicted probability, one line per model, and the diagonal of equal values."""
    with picture(target, width_in=4.6, height_in=4.0) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        for model, of_model in metrics.items():
            points = of_model["calibration"]["bins"]
            positions = [[point[name] for point in points] for name in ("probability", "positive")]
            axes.plot(*positions, marker="o", markersize=3, linewidth=1.2, label=model)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("probability of class 1")
        axes.set_ylabel("share of class 1")
        axes.legend(frameon=False, fontsize="small")


def draw_participants(target: Path, table: pd.DataFrame, model: str) -> None:
    """The accuracy of each participant beside the share of their more frequent class, lowest accuracy first.

    Args:
        target: path of the picture.
        table: a table with the columns of ATTENTION_PARTICIPANTS.
        model: name of the model.
    """
    ordered = table.sort_values(["accuracy", "participant"])
    positions = range(len(ordered))
    with picture(target, width_in=6.0) as axes:
        axes.scatter(positions, ordered["majority_share"], s=14, color=GREY, label="always the more frequent class")
        axes.scatter(positions, ordered["accuracy"], s=18, color=BLUE, label=model)
        axes.set_ylim(0, 1.02)
        axes.set_xticks([])
        axes.set_xlabel("participants")
        axes.set_ylabel("accuracy")
        axes.legend(frameon=False, fontsize="small", loc="lower right")
