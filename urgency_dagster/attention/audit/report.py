"""The audit as Markdown: the whole report, or one sentence for another report."""

from collections.abc import Iterator, Sequence

from urgency_dagster.attention.audit.controls import Controls
from urgency_dagster.attention.audit.findings import Finding, Level

TITLES = {
    Level.CERTAIN: "Certain: the scores are wrong",
    Level.SUSPICION: "Suspicious: a person must check",
    Level.NOTE: "Notes for readers of the scores",
}
HISTORY_SCORES = {"f1_macro": "macro-F1", "roc_auc": "AUROC"}
"""The scores in the table of label history, and their names in the report."""


def audit_report(findings: Sequence[Finding], controls: Controls) -> str:
    """The whole audit report."""
    lines = ["# Honesty audit of the attention models", "", audit_summary(findings), ""]
    for level, title in TITLES.items():
        of_level = [finding for finding in findings if finding.level == level]
        if of_level:
            lines += [f"## {title}", "", *(_finding_line(finding) for finding in of_level), ""]
    return "\n".join([*lines, *_shuffled(controls), *_without_history(controls)]).rstrip() + "\n"


def audit_summary(findings: Sequence[Finding]) -> str:
    """One sentence that lists the kinds of certain and suspicious findings."""
    parts = []
    for level, name in ((Level.CERTAIN, "certain"), (Level.SUSPICION, "suspicious")):
        kinds = sorted({finding.kind.value for finding in findings if finding.level == level})
        parts.append(f"{name}: {', '.join(kinds) or 'nothing'}")
    return f"Honesty audit: {'; '.join(parts)}."


def _finding_line(finding: Finding) -> str:
    names = ", ".join(f"`{name}`" for name in finding.names)
    more = f" and {finding.count - len(finding.names)} more" if 0 < len(finding.names) < finding.count else ""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in finding.figures.items())
    parts = [f"- **{finding.kind.value}** ({finding.count}). {finding.message}"]
    parts += [f"{names}{more}."] if names else []
    parts += [f"({figures})"] if figures else []
    return " ".join(parts)


def _shuffled(controls: Controls) -> Iterator[str]:
    if not controls.shuffled:
        return
    yield "## On shuffled labels"
    yield ""
    yield (
        "The labels of each participant were shuffled and everything was fitted again. The AUROC compares rows of the "
        "same participant; the intervals are 99 % bootstrap intervals over participants. 0.5 is chance."
    )
    yield ""
    yield "| model | AUROC | interval | permutations |"
    yield "| --- | ---: | ---: | ---: |"
    for model, score in controls.shuffled.items():
        if score.auroc is None:
            yield f"| {model} | | the selector kept no feature | 0 |"
        else:
            yield f"| {model} | {score.auroc:.3f} | {score.low:.3f} to {score.high:.3f} | {score.permutations} |"
    yield ""


def _without_history(controls: Controls) -> Iterator[str]:
    if not controls.without_history:
        return
    yield "## With and without label history"
    yield ""
    yield f"| model | {' | '.join(f'{name} with | without' for name in HISTORY_SCORES.values())} |"
    yield f"| --- |{' ---: |' * (2 * len(HISTORY_SCORES))}"
    for model, without in controls.without_history.items():
        cells = [f"{controls.with_history[model][s]:.3f} | {without[s]:.3f}" for s in HISTORY_SCORES]
        yield f"| {model} | {' | '.join(cells)} |"
