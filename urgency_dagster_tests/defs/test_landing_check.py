"""The checks that turn `call_archive` and `scoring_archive` yellow for files that cannot be used."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.landing_check import every_file_is_used, every_recording_is_used
from urgency_dagster.defs.resources import StorageResource
from urgency_dagster.operations.landing_events import (
    EVERY_FILE_IS_USED,
    EVERY_RECORDING_IS_USED,
    LANDING_CHECKS,
    MAX_PROBLEMS,
    landing_evaluation,
    landing_result,
)
from urgency_dagster.operations.planning import Planner
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster_tests.conftest import Builder

PROBLEM = {"notes.zip": "its name is none of TS_x, TL_x, VS_x, VL_x"}


@pytest.fixture
def paths(tmp_path: Path) -> StoragePaths:
    return StoragePaths(tmp_path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def rows(result: dg.AssetCheckResult) -> list[str]:
    table = result.metadata["not_used"]
    assert isinstance(table, dg.TableMetadataValue)
    return [str(record.data["file"]) for record in table.records]


def test_it_warns_and_has_a_row_for_each_file(paths: StoragePaths, build: Builder) -> None:
    build.pair(paths.landing_calls, "T_부산_구조", *build.calls(build.label(build.call_id(1))))
    assert _looked(paths).passed
    (paths.landing_calls / "notes.zip").write_bytes(b"")
    (paths.landing_calls / "download.tar").write_bytes(b"")
    result = _looked(paths)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert rows(result) == ["download.tar", "notes.zip"]
    assert str(result.description).startswith("Not used: download.tar: ")


def test_it_warns_about_recordings_that_cannot_be_used(paths: StoragePaths) -> None:
    paths.landing_scoring.mkdir(parents=True)
    (paths.landing_scoring / "a.wav").write_bytes(b"")
    (paths.landing_scoring / "a.m4a").write_bytes(b"")
    result = every_recording_is_used(storage=StorageResource(root=str(paths.root)))
    assert isinstance(result, dg.AssetCheckResult)
    assert (result.asset_key, result.passed) == (dg.AssetKey("scoring_archive"), False)
    assert rows(result) == ["scoring/a.m4a"]


def _looked(paths: StoragePaths) -> dg.AssetCheckResult:
    result = every_file_is_used(storage=StorageResource(root=str(paths.root)))
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_its_text_names_a_few_and_its_table_all() -> None:
    result = landing_result(EVERY_FILE_IS_USED, {f"{number}.zip": "damaged" for number in range(9)})
    assert str(result.description).count("damaged") == MAX_PROBLEMS
    assert str(result.description).endswith("And 4 more.")
    assert len(rows(result)) == 9


@pytest.mark.parametrize("check", LANDING_CHECKS, ids=str)
def test_an_equal_result_is_reported_once(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> None:
    for problems, reported in (({}, 1), ({}, 0), (PROBLEM, 1), (PROBLEM, 0), ({}, 1)):
        events = list(landing_evaluation(instance, check, problems))
        assert len(events) == reported
        for event in events:
            instance.report_runless_asset_event(event)
    (last,) = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert last.event is not None
    assert last.event.asset_check_evaluation is not None
    assert last.event.asset_check_evaluation.passed


def test_no_run_of_an_archive_looks_at_the_whole_landing_folder(paths: StoragePaths, build: Builder) -> None:
    """A selection of assets without its checks would bring the step of this check back."""
    build.pair(paths.landing_calls, "T_부산_구조", *build.calls(build.label(build.call_id(1))))
    definitions = build_definitions(Settings.load(paths.root, environment={}))
    assert EVERY_FILE_IS_USED in definitions.resolve_asset_graph().asset_check_keys
    run = Planner(paths, {"speech": "s", "text": "t"}, CATALOGUE).planned_run("calls", "T_부산_구조")
    assert run is not None
    job = definitions.resolve_job_def(run.job).get_subset(
        asset_selection=set(run.assets), asset_check_selection=set(run.checks)
    )
    steps = {node.name for node in job.nodes}
    assert "utterances" in steps
    assert EVERY_FILE_IS_USED.name not in {name.removeprefix("call_archive_") for name in steps}
    assert {key.name for key in job.asset_layer.asset_graph.asset_check_keys} >= {"few_rejects", "prosody_fits_rows"}
    assert EVERY_FILE_IS_USED not in job.asset_layer.asset_graph.asset_check_keys


def test_no_run_of_recordings_looks_at_the_whole_landing_folder(paths: StoragePaths) -> None:
    definitions = build_definitions(Settings.load(paths.root, environment={}))
    assert EVERY_RECORDING_IS_USED in definitions.resolve_asset_graph().asset_check_keys
    job = definitions.resolve_job_def("scoring_job")
    assert EVERY_RECORDING_IS_USED not in job.asset_layer.asset_graph.asset_check_keys
