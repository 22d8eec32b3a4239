"""The scoring assets, materialised in this process on a root with a small trained model."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.partitions import scoring_archives
from urgency_dagster.defs.resources import resources
from urgency_dagster.defs.scoring_assets import SCORING_ASSETS
from urgency_dagster.operations.history import report_history
from urgency_dagster.operations.planning import PlannedRun, Planner
from urgency_dagster.operations.summary import summary_lines
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import CALL_ARCHIVES, SCORING_ARCHIVES, name_of
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import Manifest, completed, write_manifest
from urgency_dagster.scoring import write_recordings
from urgency_dagster.settings import Settings
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.scoring.conftest import Landed, calls, land_calls
from urgency_dagster_tests.urgency.conftest import spoken, text_model
from urgency_dagster_tests.urgency.spoken import SpokenRoot

__all__ = ["calls", "spoken", "text_model"]

ASSETS = ["scoring_archive", "scoring_recordings", "scored_utterances", "scored_calls"]


class Scoring:
    """A storage root with a model and recordings, and the runs that the plan makes of it."""

    def __init__(
        self, landed: Landed, speech_model: Path, instance: dg.DagsterInstance, recogniser: str = "none"
    ) -> None:
        self.landed, self.paths, self._instance = landed, landed.paths, instance
        variables = {"URGENCY_SPEECH_MODEL": str(speech_model), "URGENCY_RECOGNISER": recogniser}
        self.settings = Settings.load(self.paths.root, environment=variables)

    def plan(self) -> PlannedRun | None:
        planner = Planner(self.paths, self.settings.pretrained, CATALOGUE)
        return next(iter(planner.planned_runs("scoring")), None)

    def names(self) -> list[str]:
        run = self.plan()
        return [name_of(key) for key in run.assets] if run else []

    def materialise(
        self, names: list[str] | None = None, tags: Mapping[str, str] | None = None, *, raise_on_error: bool = True
    ) -> dg.ExecuteInProcessResult:
        self._instance.add_dynamic_partitions(str(scoring_archives.name), ["calls"])
        selected = names or ASSETS
        config = {"scored_utterances": {"config": {"device": "cpu"}}} if "scored_utterances" in selected else {}
        return dg.materialize(
            SCORING_ASSETS,
            selection=[dg.AssetKey(name) for name in selected],
            partition_key="calls",
            resources=resources(self.settings),
            run_config={"ops": config},
            instance=self._instance,
            tags=dict(tags or {}),
            raise_on_error=raise_on_error,
        )

    def trained(self, weights: bytes = b"") -> None:
        """Records the model as made, after a change of it."""
        (self.paths.urgency.model / "note.txt").write_bytes(weights)
        outputs = sorted(file for file in self.paths.urgency.model.rglob("*") if file.is_file())
        manifest = Manifest("urgency_model", None, "1", {})
        write_manifest(self.paths, completed(self.paths, manifest, outputs))

    def events(self) -> list[Path]:
        """What Dagster shows of each artefact."""
        return [self.paths.events(name, "calls") for name in ASSETS[1:]]

    def files(self) -> dict[str, bytes]:
        folder = self.paths.scoring("calls").folder
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def scoring(spoken: SpokenRoot, calls: Path, tmp_path: Path) -> Iterator[Scoring]:
    paths = StoragePaths(tmp_path / "root")
    shutil.copytree(spoken.model, paths.urgency.model)
    with dg.DagsterInstance.ephemeral() as instance:
        root = Scoring(land_calls(calls, paths), spoken.speech_model.folder, instance)
        root.trained()
        yield root


def shown(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of each materialised asset."""
    made = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {name_of(item.asset_key): {name: value.value for name, value in item.metadata.items()} for item in made}


class TestOneRun:
    def test_it_makes_what_the_plan_says_and_then_nothing(self, scoring: Scoring) -> None:
        assert scoring.names() == ASSETS
        assert scoring.materialise().success
        assert set(scoring.files()) == {
            "recordings.parquet",
            "scored_utterances.parquet",
            "scored_utterances.csv",
            "scored_calls.parquet",
            "scored_calls.csv",
            "rejects.parquet",
            "monitored_calls.parquet",
        }
        assert scoring.plan() is None

    def test_the_pages_have_counts_and_no_text(self, scoring: Scoring, spoken: SpokenRoot) -> None:
        result = scoring.materialise()
        pages = shown(result)
        assert pages["scoring_recordings"]["with_label"] == "8 of 8 recordings (100.0 %)"
        calls = pages["scored_calls"]
        assert calls["dagster/row_count"] == 8
        assert "of 8 calls" in calls["abstained"]
        assert "of 8 calls" in calls["alarmed"]
        assert calls["without_threshold"] == "0 of 8 calls (0.0 %)"
        assert "| 상 |" in calls["urgency"] or "| 중 |" in calls["urgency"] or "| 하 |" in calls["urgency"]
        texts = {str(row["text"]).strip() for row in spoken.rows()}
        said = json.dumps(
            [str(event) for event in result.all_events] + [path.read_text() for path in scoring.events()],
            ensure_ascii=False,
        )
        assert not [text for text in texts if text in said]

    def test_the_checks_pass(self, scoring: Scoring) -> None:
        evaluations = scoring.materialise().get_asset_check_evaluations()
        assert {item.check_name: item.passed for item in evaluations} == dict.fromkeys(
            ("counts_add_up", "few_rejects", "no_drift", "shares_as_in_validation"), True
        )

    def test_without_a_training_set_nothing_is_compared(self, scoring: Scoring) -> None:
        evaluations = {item.check_name: item for item in scoring.materialise().get_asset_check_evaluations()}
        for name in ("no_drift", "shares_as_in_validation"):
            assert str(evaluations[name].description).startswith("Not measured: "), name
            assert evaluations[name].metadata["measured"].value is False
            assert evaluations[name].partition == "calls"

    def test_calls_of_the_validation_side_have_its_shares(self, scoring: Scoring, spoken: SpokenRoot) -> None:
        for folder in ("training_set", "evaluation"):
            shutil.copytree(spoken.paths.urgency.folder / folder, scoring.paths.urgency.folder / folder)
        shutil.copytree(spoken.paths.root / "calls", scoring.paths.root / "calls")
        evaluations = {item.check_name: item for item in scoring.materialise().get_asset_check_evaluations()}
        shares = evaluations["shares_as_in_validation"]
        assert shares.passed
        assert "of 8 calls" in str(shares.metadata["shares"].value)
        assert "the archive has 8 different recordings" in str(evaluations["no_drift"].description)
        texts = {str(row["text"]).strip() for row in spoken.rows()}
        assert not [text for text in texts if text in repr(evaluations)]

    def test_a_rejected_archive_warns_and_is_stored(self, scoring: Scoring) -> None:
        for wav in scoring.landed.folder.glob("*.wav"):
            wav.write_bytes(b"RIFF")
        evaluations = {item.check_name: item for item in scoring.materialise().get_asset_check_evaluations()}
        few = evaluations["few_rejects"]
        assert (few.passed, few.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert "8 of 8 recordings (100.0 %) are rejected; the limit is 20 %." in str(few.description)
        assert evaluations["counts_add_up"].passed
        assert scoring.plan() is None

    def test_run_prints_a_line_for_it(self, scoring: Scoring) -> None:
        scoring.materialise()
        (line,) = summary_lines(scoring.paths)
        assert line.startswith("scoring       calls: 8 calls scored (")


class TestPlan:
    def test_it_waits_for_a_model(self, scoring: Scoring) -> None:
        scoring.paths.manifest("urgency_model").unlink()
        assert scoring.names() == ["scoring_archive", "scoring_recordings"]
        assert Planner(scoring.paths, scoring.settings.pretrained, CATALOGUE).unscored() == 1

    def test_another_model_scores_again(self, scoring: Scoring) -> None:
        scoring.materialise()
        scoring.trained(b"other")
        run = scoring.plan()
        assert run is not None
        assert [name_of(key) for key in run.assets] == ["scored_utterances", "scored_calls"]
        assert run.reason == "scored_utterances of calls: its input urgency_model changed"
        before = scoring.files()
        scoring.materialise([name_of(key) for key in run.assets], run.tags)
        after = scoring.files()
        assert before["scored_utterances.parquet"] != after["scored_utterances.parquet"]
        assert scoring.plan() is None

    def test_a_new_recording_is_hashed_and_scored(self, scoring: Scoring, build: Builder) -> None:
        scoring.materialise()
        scoring.landed.land("0_new.wav", build.wav(2000))
        scoring.landed.land("0_new.json", build.json(build.label("0")))
        planner = Planner(scoring.paths, scoring.settings.pretrained, CATALOGUE)
        first = next(iter(planner.planned_runs("scoring")))
        assert first.only_hashes
        scoring.materialise(["scoring_archive"], first.tags)
        assert scoring.names() == ASSETS[1:]
        scoring.materialise(ASSETS[1:], first.tags)
        assert pq.read_metadata(scoring.paths.scoring("calls").calls).num_rows == 9
        assert scoring.plan() is None

    def test_the_same_files_again_put_nothing_out_of_date(self, scoring: Scoring) -> None:
        scoring.materialise()
        before = scoring.files()
        path = next(scoring.landed.folder.glob("*.wav"))
        path.write_bytes(path.read_bytes())
        assert scoring.names() == ["scoring_archive"]
        scoring.materialise(["scoring_archive"])
        assert scoring.plan() is None
        scoring.materialise()
        assert scoring.files() == before

    def test_deleted_recordings_leave_their_scores(self, scoring: Scoring) -> None:
        scoring.materialise()
        shutil.rmtree(scoring.landed.folder)
        scoring.trained(b"other")
        assert scoring.plan() is None

    def test_a_lost_table_is_made_again(self, scoring: Scoring) -> None:
        scoring.materialise()
        before = scoring.files()
        scoring.paths.scoring("calls").calls.unlink()
        assert scoring.names() == ["scored_calls"]
        scoring.materialise(["scored_calls"])
        assert scoring.files() == before

    def test_a_changed_device_puts_nothing_out_of_date(self, scoring: Scoring) -> None:
        scoring.materialise()
        scoring.paths.run_config.write_text("scored_utterances:\n  device: cpu\n")
        assert scoring.plan() is None

    def test_another_recogniser_scores_again(self, scoring: Scoring) -> None:
        scoring.materialise()
        scoring.settings = replace(scoring.settings, recogniser="http:http://127.0.0.1:9/v1")
        assert scoring.names() == ["scored_utterances", "scored_calls"]

    def test_a_limit_is_an_option(self, scoring: Scoring) -> None:
        scoring.materialise()
        scoring.paths.run_config.write_text("scored_utterances:\n  rejected_recordings_max: 0.5\n")
        assert scoring.names() == ["scored_utterances", "scored_calls"]


def test_a_new_history_shows_the_scores_as_fresh(scoring: Scoring) -> None:
    scoring.materialise()
    with dg.DagsterInstance.ephemeral() as instance:
        assert report_history(instance, LandedContent(scoring.paths)) == len([*ASSETS, "urgency_model"])
        assert instance.get_dynamic_partitions(SCORING_ARCHIVES) == ["calls"]
        assert instance.get_dynamic_partitions(CALL_ARCHIVES) == []
        graph = build_definitions(scoring.settings).get_repository_def().asset_graph
        with partition_loading_context(dynamic_partitions_store=instance):
            resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
            states = {name: resolver.get_status(dg.AssetKey(name), "calls").value for name in ASSETS}
    assert states == dict.fromkeys(ASSETS, "FRESH")


def test_recordings_without_a_label_have_a_row_or_a_reason(scoring: Scoring, build: Builder) -> None:
    for path in scoring.landed.folder.iterdir():
        path.unlink()
    kinds = {
        "noise": build.wav(3000),
        "stereo": build.wav(3000, rate=44_100, channels=2),
        "short": build.wav(30),
        "silence": build.wav(3000)[:44] + bytes(48_000),
        "empty": b"",
    }
    for name, content in kinds.items():
        scoring.landed.land(f"{name}.wav", content)
    assert scoring.materialise().success
    files = scoring.paths.scoring("calls")
    named = {row["file"] for row in pq.read_table(files.calls).to_pylist()}
    named |= {row["member"] for row in pq.read_table(files.rejects).to_pylist()}
    assert named == {f"calls/{name}.wav" for name in kinds}


def test_a_run_without_a_model_says_what_is_missing(scoring: Scoring) -> None:
    shutil.rmtree(scoring.paths.urgency.model)
    result = scoring.materialise(raise_on_error=False)
    assert not result.success
    failure = result.failure_data_for_node("scored_utterances")
    assert failure is not None
    assert failure.error is not None
    assert "expected" in failure.error.message


def test_files_that_change_while_they_are_read_fail_the_step(scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    def growing(paths: StoragePaths, archive: Any, progress: Any) -> None:
        original(paths, replace(archive), progress)
        scoring.landed.land("late.wav", b"")

    original = write_recordings
    monkeypatch.setattr("urgency_dagster.defs.scoring_assets.write_recordings", growing)
    result = scoring.materialise(["scoring_archive", "scoring_recordings"], raise_on_error=False)
    assert not result.success
