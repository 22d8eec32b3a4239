import pytest
import yaml

from urgency_dagster.attention.audit.controls import Controls, ShuffledScore
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.report import audit_report, audit_summary, ways_on

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


TOLD, REPLICATED = (
    Finding.of_names(Level.CERTAIN, FindingKind.OWN_LABEL_IN_HISTORY, "It is in.", ["ESM#LIK#H06", "시간대#1"]),
    Finding(Level.SUSPICION, FindingKind.REPLICATED_PROMPTS, "They are replicated.", 9),
)


@pytest.mark.parametrize("replicated", [True, False])
def test_the_ways_on_are_the_options_that_they_name(replicated: bool) -> None:
    lines = yaml.safe_load(ways_on([TOLD, *([REPLICATED] if replicated else [])]))
    first = {"replicates": "first"} if replicated else {}
    assert lines == {
        "attention_features": {"drop_columns": ["ESM#LIK#H06", "시간대#1"], **first},
        "attention_audit": {"accept": [TOLD.id]},
    }


def test_what_blocks_nothing_needs_no_way_on() -> None:
    assert ways_on([REPLICATED, FINDINGS[1]]) == ""


def test_a_list_that_is_cut_says_so() -> None:
    many = Finding.of_names(Level.CERTAIN, FindingKind.COLUMN_TELLS_LABEL, "They tell.", NAMES)
    (line,) = [line for line in ways_on([many]).splitlines() if "drop_columns" in line]
    assert line.endswith("]  # and others")
