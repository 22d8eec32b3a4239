import json

from urgency_dagster.attention.audit.findings import MAX_NAMES, Finding, FindingKind, Level


def test_a_finding_counts_all_names_and_lists_the_first() -> None:
    names = [f"C{n:02d}" for n in range(MAX_NAMES + 5)][::-1]
    finding = Finding.of_names(Level.NOTE, FindingKind.IDENTIFIER, "Said.", names)
    assert finding.count == MAX_NAMES + 5
    assert finding.names == tuple(sorted(names)[:MAX_NAMES])


def test_a_finding_survives_json() -> None:
    finding = Finding.of_names(Level.CERTAIN, FindingKind.COLUMN_TELLS_LABEL, "Said.", ["b", "a"], {"auroc": 1.0})
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding
