"""The audit as Markdown: the whole report, or one sentence for another report."""

import json
from collections.abc import Iterator, Sequence

from urgency_dagster.attention.audit.controls import Controls
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level

TITLES = {
    Level.CERTAIN: "Certain: the scores are wrong",
    Level.SUSPICION: "Suspicious: a person must check",
    Level.NOTE: "Notes for readers of the scores",
}
OF_COLUMNS = (FindingKind.COLUMN_TELLS_LABEL, FindingKind.OWN_LABEL_IN_HISTORY)
"""The kinds that end when their columns are dropped."""

HISTORY_SCORES = {"f1_macro": "macro-F1", "roc_auc": "AUROC"}
"""The scores in the table of label history, and their names in the report."""


def audit_report(findings: Sequence[Finding], controls: Controls, accept: Sequence[str] = ()) -> str:
    """The whole audit report.

    Args:
        findings: all findings.
        controls: the scores of the control cross-validations.
        accept: the ids that a person accepted.
    """
    lines = [f"# Honesty audit of the attention models{accepted_kinds(findings)}", "", audit_summary(findings), ""]
    lines += list(_ways_on_section(findings))
    unknown = sorted(set(accept) - {finding.id for finding in findings})
    if unknown:
        lines += [f"Accepted, but not found in this data: {', '.join(unknown)}.", ""]
    for level, title in TITLES.items():
        of_level = [finding for finding in findings if finding.level == level]
        if of_level:
            lines += [f"## {title}", "", *(_finding_line(finding) for finding in of_level), ""]
    return "\n".join([*lines, *_shuffled(controls), *_without_history(controls)]).rstrip() + "\n"


def accepted_kinds(findings: Sequence[Finding]) -> str:
    """What a title ends with: the kinds of the accepted findings. Empty without any."""
    kinds = sorted({finding.kind.value for finding in findings if finding.accepted})
    return f", with accepted findings: {', '.join(kinds)}" if kinds else ""


def ways_on(findings: Sequence[Finding]) -> str:
    """Lines of `run_config.yaml`, each way on from the findings that block. Empty without such a finding."""
    blocking = [finding for finding in findings if finding.blocks]
    if not blocking:
        return ""
    columns = sorted({name for finding in blocking if finding.kind in OF_COLUMNS for name in finding.names})
    cut = any(finding.kind in OF_COLUMNS and finding.count > len(finding.names) for finding in blocking)
    lines = (
        ["attention_features:", f"  drop_columns: {_yaml(columns)}{'  # and others' if cut else ''}"] if columns else []
    )
    if any(finding.kind == FindingKind.REPLICATED_PROMPTS for finding in findings):
        lines = [*(lines or ["attention_features:"]), "  replicates: first"]
    return "\n".join([*lines, "attention_audit:", f"  accept: {_yaml([finding.id for finding in blocking])}"])


def _yaml(names: Sequence[str]) -> str:
    return json.dumps(names, ensure_ascii=False)


def _ways_on_section(findings: Sequence[Finding]) -> Iterator[str]:
    if lines := ways_on(findings):
        yield "The ways on, as lines of `run_config.yaml`. Each is a choice of its own:"
        yield ""
        yield f"```yaml\n{lines}\n```"
        yield ""
        yield "`accept` makes leaderboard and models in spite of them. Titles and cards then name them."
        yield ""


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
    parts += [f"Id: `{finding.id}`{', accepted' if finding.accepted else ''}."]
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
