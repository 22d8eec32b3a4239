"""The summary that the `run` command prints."""

from pathlib import Path

import pyarrow as pa
import pytest

from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.tables import REJECTS
from urgency_dagster.operations.summary import summary_lines
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import Manifest, completed, write_manifest
from urgency_dagster.tables import UTTERANCES
from urgency_dagster.writing import write_json, write_table, write_text
from urgency_dagster_tests.conftest import Builder

SCORES = {level: {task: {"f1_macro": f1} for task, f1 in tasks.items()} for level, tasks in {
    "utterance": {"urgency": 0.61234, "sentiment": 0.4},
    "call": {"urgency": 0.7, "sentiment": 0.5},
    "majority": {"urgency": 0.17, "sentiment": 0.2},
}.items()}  # fmt: skip
LEADERBOARD = "model,f1_macro_mean\nrf,0.561\nlgbm,0.5555\ndummy,0.35\n"


def made(paths: StoragePaths, asset: str, *outputs: Path, partition: str | None = None) -> None:
    write_manifest(paths, completed(paths, Manifest(asset, partition, "1", {}), list(outputs)))


@pytest.fixture
def paths(tmp_path: Path) -> StoragePaths:
    """An empty storage root, which needs no demo."""
    return StoragePaths(tmp_path / "root")


@pytest.fixture
def calls(paths: StoragePaths, build: Builder) -> StoragePaths:
    """A call with three good utterances and a bad one, and a call of three without its recording."""
    spoken = [build.utterance(n) for n in range(3)] + [build.utterance(3, endAt=0)]
    audio, labels = build.calls(build.label("a", utterances=spoken), build.label("b"))
    del audio["b_20230101.wav"]
    build.extracted(paths, "T_x", audio, labels)
    build_utterance_table(paths, "T_x", workers=1)
    made(paths, "utterances", paths.archive("T_x").utterances, partition="T_x")
    return paths


@pytest.fixture
def urgency(paths: StoragePaths) -> StoragePaths:
    write_json(paths.urgency.evaluation / "metrics.json", SCORES)
    made(paths, "urgency_evaluation", paths.urgency.evaluation)
    return paths


@pytest.fixture
def attention(paths: StoragePaths) -> StoragePaths:
    write_text(paths.attention.leaderboard, LEADERBOARD)
    made(paths, "attention_leaderboard", paths.attention.leaderboard)
    return paths


def test_an_empty_root_has_no_line(paths: StoragePaths) -> None:
    assert list(summary_lines(paths)) == []


def test_an_archive_has_its_counts_and_reject_reasons(calls: StoragePaths) -> None:
    assert list(summary_lines(calls)) == [
        (
            "calls         T_x: 3 utterances kept, 4 (bad_times 1, missing_audio 3) rejected; "
            "calls and files rejected: 1 (missing_audio 1)"
        )
    ]


def test_a_blocked_archive_keeps_its_line(calls: StoragePaths) -> None:
    """After a failed blocking check, the tables are there and the manifest is not."""
    calls.manifest("utterances", "T_x").unlink()
    assert list(summary_lines(calls)) == [
        (
            "calls         T_x: BLOCKED by a check, not used: 3 utterances kept, "
            "4 (bad_times 1, missing_audio 3) rejected; calls and files rejected: 1 (missing_audio 1); "
            f"see {calls.archive('T_x').rejects}"
        )
    ]


def test_an_archive_that_landed_as_a_table_is_not_blocked(calls: StoragePaths) -> None:
    calls.manifest("utterances", "T_x").unlink()
    made(calls, "processed_data", calls.archive("T_x").utterances, partition="T_x")
    assert "BLOCKED" not in next(iter(summary_lines(calls)))


def test_an_archive_that_failed_before_its_table_keeps_its_line(calls: StoragePaths) -> None:
    calls.manifest("utterances", "T_x").unlink()
    calls.archive("T_x").utterances.unlink()
    calls.archive("T_y").unpacking.mkdir(parents=True)
    calls.archive("T_z").folder.mkdir()
    assert list(summary_lines(calls)) == [
        f"calls         {archive}: FAILED before its table was complete" for archive in ("T_x", "T_y")
    ]


def test_the_urgency_model_is_beside_the_majority_class(urgency: StoragePaths) -> None:
    assert list(summary_lines(urgency)) == [
        "urgency       macro-F1 0.612 by utterance, 0.700 by call (majority class 0.170)",
        "sentiment     macro-F1 0.400 by utterance, 0.500 by call (majority class 0.200)",
        f"report        {urgency.urgency.evaluation / 'report.md'}",
    ]


@pytest.mark.parametrize("left_out", ["urgency", "sentiment"])
def test_a_task_that_was_left_out_has_its_sentence(urgency: StoragePaths, left_out: str) -> None:
    scores = {level: {**tasks, left_out: None} for level, tasks in SCORES.items()}
    write_json(urgency.urgency.evaluation / "metrics.json", {**scores, "left_out": f"{left_out} is left out."})
    lines = list(summary_lines(urgency))
    assert lines[0] == f"left out      {left_out} is left out."
    assert [line.split()[0] for line in lines[1:]] == [{"urgency", "sentiment"}.difference({left_out}).pop(), "report"]


def test_the_attention_models_are_in_the_order_of_the_leaderboard(attention: StoragePaths) -> None:
    assert list(summary_lines(attention)) == [
        "attention     macro-F1 rf 0.561, lgbm 0.555 (majority class 0.350)",
        f"report        {attention.attention.report}",
    ]


def test_exported_models_are_named(paths: StoragePaths) -> None:
    for name in ("xgb", "logreg"):
        write_text(paths.attention.model(name), "")
    assert list(summary_lines(paths)) == [f"models        {paths.attention.models_folder} (logreg, xgb)"]


def test_paths_below_the_working_folder_are_short(attention: StoragePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(attention.root.parent)
    assert list(summary_lines(attention))[-1] == "report        root/eval/attention/report.md"


def test_deleted_files_have_no_line(calls: StoragePaths, urgency: StoragePaths, attention: StoragePaths) -> None:
    calls.archive("T_x").rejects.unlink()
    (urgency.urgency.evaluation / "metrics.json").unlink()
    attention.attention.leaderboard.unlink()
    assert list(summary_lines(calls)) == []


def test_an_asset_without_a_manifest_has_no_line(urgency: StoragePaths) -> None:
    urgency.manifest("urgency_evaluation").unlink()
    assert list(summary_lines(urgency)) == []


def test_it_holds_no_call_text(calls: StoragePaths) -> None:
    assert not any("발화" in line or "비밀" in line for line in summary_lines(calls))


def test_an_empty_archive_has_a_line(paths: StoragePaths) -> None:
    write_table(paths.archive("T_x").utterances, pa.Table.from_pylist([], schema=UTTERANCES))
    write_table(paths.archive("T_x").rejects, pa.Table.from_pylist([], schema=REJECTS))
    made(paths, "utterances", paths.archive("T_x").utterances, partition="T_x")
    assert list(summary_lines(paths)) == [
        "calls         T_x: 0 utterances kept, 0 rejected; calls and files rejected: 0"
    ]
