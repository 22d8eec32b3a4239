from urgency_dagster.attention.audit.controls import Controls, ShuffledScore
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.report import audit_report, audit_summary

NAMES = [f"HRT#AVG#{n}" for n in range(25)]
FINDINGS = [
    Finding.of_names(Level.CERTAIN, FindingKind.COLUMN_TELLS_LABEL, "It tells.", ["HRT#VAL"]),
    Finding.of_names(Level.SUSPICION, FindingKind.STRONG_COLUMN, "They are strong.", NAMES, {"HRT#AVG#1": 0.8}),
]


def test_findings_are_listed_by_level_with_names_and_figures() -> None:
    text = audit_report(FINDINGS, Controls())
    assert text.index("## Certain") < text.index("**column_tells_label** (1). It tells. `HRT#VAL`.")
    assert "(25). They are strong." in text
    assert "and 5 more." in text
    assert "(HRT#AVG#1 0.8)" in text
    assert "## Notes" not in text
    assert "shuffled" not in text


def test_the_summary_names_the_kinds() -> None:
    assert audit_summary(FINDINGS) == "Honesty audit: certain: column_tells_label; suspicious: strong_column."
    assert audit_summary([]) == "Honesty audit: certain: nothing; suspicious: nothing."


def test_controls_are_tables() -> None:
    shuffled = {"rf": ShuffledScore(0.51, 0.49, 0.53, 3), "xgb": ShuffledScore(None, None, None, 0)}
    scores = {"rf": {"f1_macro": 0.55, "roc_auc": 0.6}}
    lower = {"rf": {"f1_macro": 0.53, "roc_auc": 0.58}}
    text = audit_report([], Controls(shuffled, scores, lower))
    assert "| rf | 0.510 | 0.490 to 0.530 | 3 |" in text
    assert "| xgb | | the selector kept no feature | 0 |" in text
    assert "| rf | 0.550 | 0.530 | 0.600 | 0.580 |" in text
