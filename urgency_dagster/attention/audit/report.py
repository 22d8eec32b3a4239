"""An audit as Markdown, whole or in two lines for another report. Nothing is looked for here."""

from collections.abc import Iterator, Sequence

from urgency_dagster.attention.audit.controls import Controls
from urgency_dagster.attention.audit.findings import Finding, Level

TITLES = {
    Level.CERTAIN: "Certain: the scores are wrong",
    Level.SUSPICION: "Suspicious: somebody has to look",
    Level.NOTE: "To know when reading the scores",
}
COMPARED = {"f1_macro": "macro-F1", "roc_auc": "AUROC"}
"""The scores that are told with and without label history, and how the report calls them."""


def audit_report(findings: Sequence[Finding], controls: Controls) -> str:
    """The whole audit."""
    lines = ["# Honesty audit of the attention models", "", audit_summary(findings), ""]
    for level, title in TITLES.items():
        of_level = [finding for finding in findings if finding.level == level]
        if of_level:
            lines += [f"## {title}", "", *(_told(finding) for finding in of_level), ""]
    return "\n".join([*lines, *_shuffled(controls), *_without_history(controls)]).rstrip() + "\n"


def audit_summary(findings: Sequence[Finding]) -> str:
    """One sentence: how many findings there are of each level that counts, and of what kind."""
    told = []
    for level, name in ((Level.CERTAIN, "certain"), (Level.SUSPICION, "suspicious")):
        kinds = sorted({finding.kind.value for finding in findings if finding.level == level})
        told.append(f"{name}: {', '.join(kinds) or 'nothing'}")
    return f"Honesty audit: {'; '.join(told)}."


def _told(finding: Finding) -> str:
    named = ", ".join(f"`{name}`" for name in finding.names)
    more = f" and {finding.count - len(finding.names)} more" if 0 < len(finding.names) < finding.count else ""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in finding.figures.items())
    parts = [f"- **{finding.kind.value}** ({finding.count}). {finding.message}"]
    parts += [f"{named}{more}."] if named else []
    parts += [f"({figures})"] if figures else []
    return " ".join(parts)


def _shuffled(controls: Controls) -> Iterator[str]:
    if not controls.shuffled:
        return
    yield "## On shuffled labels"
    yield ""
    yield (
        "Labels changed places within each participant, everything was fitted again, and pairs of rows of the same "
        "participant were compared; 99 % bootstrap intervals over participants. 0.5 is a coin."
    )
    yield ""
    yield "| model | AUROC | interval | permutations |"
    yield "| --- | ---: | ---: | ---: |"
    for model, score in controls.shuffled.items():
        if score.auroc is None:
            yield f"| {model} | | nothing was left to be fitted on | 0 |"
        else:
            yield f"| {model} | {score.auroc:.3f} | {score.low:.3f} to {score.high:.3f} | {score.permutations} |"
    yield ""


def _without_history(controls: Controls) -> Iterator[str]:
    if not controls.without_history:
        return
    yield "## With and without label history"
    yield ""
    yield f"| model | {' | '.join(f'{name} with | without' for name in COMPARED.values())} |"
    yield f"| --- |{' ---: |' * (2 * len(COMPARED))}"
    for model, without in controls.without_history.items():
        cells = [f"{controls.with_history[model][s]:.3f} | {without[s]:.3f}" for s in COMPARED]
        yield f"| {model} | {' | '.join(cells)} |"
