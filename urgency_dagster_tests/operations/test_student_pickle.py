"""The student's own pickle through the command: refused with lines to copy; with them, it goes through and says so."""

import json
from typing import Any

import pytest
import yaml

from urgency_dagster.attention import FindingKind, load_model
from urgency_dagster.attention.audit.label_history import history_findings
from urgency_dagster.attention.audit.overlap import overlap_findings
from urgency_dagster.attention.reading.first_rows import first_of_each_prompt
from urgency_dagster.attention.reading.pickles import load_attention_pickle
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.attention.student import HISTORY_S, write_student_pickle
from urgency_dagster_tests.defs.conftest import run_command

pytestmark = pytest.mark.slow

QUICK = {"attention_audit": {"permutations": 0, "without_history": False, "models": ["logreg"]}}
"""The controls of the audit fit the models again; they are not what is tested here."""


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> StoragePaths:
    paths = StoragePaths(tmp_path_factory.mktemp("student") / "storage")
    write_student_pickle(paths.attention_pickle)
    declare(paths, QUICK)
    return paths


def declare(paths: StoragePaths, sections: dict[str, dict[str, Any]]) -> None:
    paths.run_config.write_text(yaml.safe_dump(sections), encoding="utf-8")


def lines_to_copy(output: str) -> dict[str, dict[str, Any]]:
    """The lines after the failed check, as a person copies them into the file."""
    lines = output.splitlines()
    first = next(n for n, line in enumerate(lines) if line.endswith("each a choice of its own:")) + 1
    last = next(n for n in range(first, len(lines)) if lines[n].startswith("  accept: ")) + 1
    sections: dict[str, dict[str, Any]] = yaml.safe_load("\n".join(lines[first:last]))
    return sections


def test_it_is_refused_and_an_acceptance_lets_it_through_under_its_name(landed: StoragePaths) -> None:
    refused = run_command(landed.root, "--only", "attention")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert not landed.attention.leaderboard.exists()
    assert not landed.attention.models_folder.exists()
    lines = lines_to_copy(refused.stdout)
    assert lines["attention_features"] == {"drop_columns": sorted(HISTORY_S), "replicates": "first"}
    assert len(lines["attention_audit"]["accept"]) == len(HISTORY_S)

    declare(landed, {"attention_audit": QUICK["attention_audit"] | lines["attention_audit"]})
    done = run_command(landed.root, "--only", "attention")
    assert done.returncode == 0, done.stdout + done.stderr
    title = landed.attention.report.read_text(encoding="utf-8").splitlines()[0]
    assert title == "# Attention models, cross-validated, with accepted findings: own_label_in_history"
    card = json.loads(landed.attention.card("xgb").read_text(encoding="utf-8"))
    assert sorted(name for finding in card["accepted_findings"] for name in finding["names"]) == sorted(HISTORY_S)
    with pytest.warns(UserWarning, match="accepted findings of the audit: own_label_in_history"):
        load_model(landed.attention.model("xgb"))
    assert "attention_cv" not in done.stdout, "the cross-validation is kept"


def test_the_other_lines_leave_no_finding(landed: StoragePaths) -> None:
    """Without the label history and with each prompt once, as `attention_features` reads the file with these lines."""
    all_rows = load_attention_pickle(landed.attention_pickle)
    assert {finding.kind for finding in (*history_findings(all_rows), *overlap_findings(all_rows, {}))} == {
        FindingKind.OWN_LABEL_IN_HISTORY, FindingKind.LABEL_HISTORY, FindingKind.REPLICATED_PROMPTS
    }  # fmt: skip
    data = first_of_each_prompt(load_attention_pickle(landed.attention_pickle, drop_columns=sorted(HISTORY_S)))
    assert (len(data.y), data.X.shape[1]) == (240, 81)
    assert [*history_findings(data), *overlap_findings(data, {})] == []
