"""The plan for real storage roots: which assets are made, and the reason for each."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import yaml

from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.planning import PlannedRun, Planner
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import DECLARED_TAG
from urgency_dagster.provenance.keys import name_of
from urgency_dagster.provenance.manifests import (
    Manifest,
    partitions_with_manifest,
    read_manifest,
    write_manifest,
)
from urgency_dagster.settings import Settings
from urgency_dagster.urgency import SplitConfig, build_training_set, find_shared_calls
from urgency_dagster_tests.calls.test_original_table import land, original_rows, original_vectors
from urgency_dagster_tests.defs.materialising import ARCHIVE, materialise

OTHER_VALUES = {
    "batch_audio_s": 10.0,
    "device": "cpu",
    "reserve_bytes": 7,
    "shard_utterances": 64,
    "workers": 2,
}
"""A value of each option of the machine that is not the default, and with which nothing was made."""

CALLS = ["call_recordings", "utterances", "utterance_embeddings", "prosody", "processed_data"]
NEW = ["call_archive", *CALLS]


def planner_of(settings: Settings) -> Planner:
    return Planner(StoragePaths(settings.storage), settings.pretrained, CATALOGUE)


def plan(settings: Settings, archive: str = ARCHIVE) -> PlannedRun | None:
    return planner_of(settings).planned_run("calls", archive)


def names(run: PlannedRun | None) -> list[str]:
    return [name_of(key) for key in run.assets] if run else []


class TestNewRoot:
    def test_every_landed_archive_needs_all_assets(self, settings: Settings) -> None:
        runs = list(planner_of(settings).planned_runs("calls"))
        assert [item.partition for item in runs] == ["T_광주_구급", "T_서울_화재", "V_광주_구급"]
        assert all(names(item) == NEW for item in runs)

    def test_urgency_waits_for_the_first_complete_archive(self, settings: Settings) -> None:
        assert planner_of(settings).planned_run("urgency") is None

    def test_attention_needs_all_assets_after_the_pickle_landed(self, settings: Settings, paths: StoragePaths) -> None:
        run = planner_of(settings).planned_run("attention")
        assert len(names(run)) == 15
        paths.attention_pickle.unlink()
        assert planner_of(settings).planned_run("attention") is None

    def test_an_empty_root_needs_nothing(self, tmp_path: Path) -> None:
        planner = planner_of(Settings.load(tmp_path, environment={}))
        assert list(planner.planned_runs("calls")) == []
        assert planner.planned_run("attention") is None


class TestRecordings:
    """Recordings that land for scoring, on a root with nothing else."""

    @pytest.fixture
    def planner(self, tmp_path: Path) -> Planner:
        planner = planner_of(Settings.load(tmp_path / "scored", environment={}))
        planner.paths.landing_scoring.mkdir(parents=True)
        (planner.paths.landing_scoring / "a.wav").write_bytes(b"")
        return planner

    def test_what_they_hold_is_made_and_the_scores_wait_for_a_model(self, planner: Planner) -> None:
        assert [names(run) for run in planner.planned_runs("scoring")] == [["scoring_archive", "scoring_recordings"]]
        assert planner.unscored() == 1

    def test_with_a_model_all_is_made(self, planner: Planner) -> None:
        write_manifest(planner.paths, Manifest("urgency_model", None, "1", {}, data_version="0"))
        (run,) = planner.planned_runs("scoring")
        assert names(run) == ["scoring_archive", "scoring_recordings", "scored_utterances", "scored_calls"]
        assert (run.job, run.partition, run.reason) == ("scoring_job", "loose_recordings", "loose_recordings is new")
        assert {check.name for check in run.checks} == {
            *("counts_add_up", "few_rejects", "no_drift", "shares_as_in_validation")
        }
        assert planner.unscored() == 0

    def test_they_are_no_archive_pair(self, planner: Planner) -> None:
        assert planner.archives("calls") == []
        assert list(planner.planned_runs("calls")) == []

    def test_nothing_to_score_needs_nothing(self, tmp_path: Path) -> None:
        planner = planner_of(Settings.load(tmp_path, environment={}))
        assert list(planner.planned_runs("scoring")) == []
        assert planner.unscored() == 0


class TestCompleteArchive:
    def test_nothing_is_made_twice(self, made: Settings) -> None:
        assert plan(made) is None

    def test_urgency_can_start(self, made: Settings) -> None:
        assert names(planner_of(made).planned_run("urgency")) == ["training_set", "urgency_model", "urgency_evaluation"]

    def test_a_deleted_file_and_its_downstream_assets_are_made(self, made: Settings, paths: StoragePaths) -> None:
        paths.archive(ARCHIVE).embeddings.unlink()
        run = plan(made)
        assert names(run) == ["utterance_embeddings", "processed_data"]
        assert run is not None
        assert next(iter(run.reasons.values())) == f"calls/{ARCHIVE}/embeddings.parquet is missing or was changed"

    def test_a_deleted_recording_is_extracted_again(self, made: Settings, paths: StoragePaths) -> None:
        next(file for file in paths.archive(ARCHIVE).audio.rglob("*.wav")).unlink()
        assert names(plan(made)) == CALLS

    def test_unpacked_folders_may_be_deleted(self, made: Settings, paths: StoragePaths) -> None:
        for folder in paths.archive(ARCHIVE).unpacked:
            shutil.rmtree(folder)
        assert plan(made) is None

    def test_deleted_folders_are_unpacked_again_when_they_are_needed(self, made: Settings, paths: StoragePaths) -> None:
        for folder in paths.archive(ARCHIVE).unpacked:
            shutil.rmtree(folder)
        paths.archive(ARCHIVE).prosody.unlink()
        run = plan(made)
        assert run is not None
        assert names(run) == ["call_recordings", "prosody"]
        vectors = paths.archive(ARCHIVE).embeddings.stat().st_ino
        materialise(made, *names(run), tags=run.tags)
        assert paths.archive(ARCHIVE).prosody.is_file()
        assert paths.archive(ARCHIVE).embeddings.stat().st_ino == vectors
        assert plan(made) is None

    def test_what_reads_no_recording_is_made_without_the_folders(self, made: Settings, paths: StoragePaths) -> None:
        for folder in paths.archive(ARCHIVE).unpacked:
            shutil.rmtree(folder)
        paths.archive(ARCHIVE).processed_csv.unlink()
        assert names(plan(made)) == ["processed_data"]

    def test_other_content_under_the_same_name_is_hashed_and_then_made_again(
        self, made: Settings, paths: StoragePaths
    ) -> None:
        archive = next(paths.landing_calls.rglob("TS_광주_구급.zip"))
        shutil.copy(next(paths.landing_calls.rglob("VS_광주_구급.zip")), archive)
        runs = planner_of(made).planned_runs("calls")
        first = next(run for run in runs if run.partition == ARCHIVE)
        assert names(first) == ["call_archive"]
        assert first.reason == f"call_archive of {ARCHIVE}: its files changed"
        materialise(made, "call_archive")
        second = next(runs)
        assert (second.partition, names(second)) == (ARCHIVE, CALLS)
        assert second.reason == f"call_recordings of {ARCHIVE}: its input call_archive changed"

    def test_the_same_content_copied_again_is_only_hashed(self, made: Settings, paths: StoragePaths) -> None:
        archive = next(paths.landing_calls.rglob("TS_광주_구급.zip"))
        copy = archive.with_suffix(".copy")
        shutil.copyfile(archive, copy)
        os.replace(copy, archive)
        os.utime(archive, (1, 1))
        runs = planner_of(made).planned_runs("calls")
        assert names(next(run for run in runs if run.partition == ARCHIVE)) == ["call_archive"]
        materialise(made, "call_archive")
        assert ARCHIVE not in [run.partition for run in runs]
        assert plan(made) is None

    def test_a_zip_that_was_removed_after_use_needs_nothing(self, made: Settings, paths: StoragePaths) -> None:
        shutil.rmtree(paths.landing_calls)
        assert planner_of(made).archives("calls") == [ARCHIVE]
        assert plan(made) is None

    def test_a_tree_from_before_prosody_needs_prosody_alone(self, made: Settings, paths: StoragePaths) -> None:
        urgency = planner_of(made).planned_run("urgency")
        paths.archive(ARCHIVE).prosody.unlink()
        paths.manifest("prosody", ARCHIVE).unlink()
        before = {path: path.read_bytes() for path in paths.archive(ARCHIVE).folder.rglob("*") if path.is_file()}
        run = plan(made)
        assert names(run) == ["prosody"]
        assert run is not None
        assert list(run.reasons.values()) == ["it was never made"]
        materialise(made, "prosody")
        assert plan(made) is None
        assert planner_of(made).planned_run("urgency") == urgency
        after = {path: path.read_bytes() for path in paths.archive(ARCHIVE).folder.rglob("*") if path.is_file()}
        assert after.keys() - before.keys() == {paths.archive(ARCHIVE).prosody}
        assert {path: after[path] for path in before} == before

    def test_another_option_of_prosody_puts_nothing_else_out_of_date(self, made: Settings, paths: StoragePaths) -> None:
        paths.run_config.write_text("prosody: {f0_max_hz: 400.0}\n")
        assert names(plan(made)) == ["prosody"]

    def test_another_speech_model_needs_new_embeddings(self, made: Settings, tmp_path: Path) -> None:
        other = tmp_path / "speech"
        shutil.copytree(made.speech_model, other)
        assert plan(replace(made, speech_model=str(other))) is None
        (other / "preprocessor_config.json").write_text("{}")
        assert names(plan(replace(made, speech_model=str(other)))) == ["utterance_embeddings", "processed_data"]

    def test_a_declared_option_that_was_not_used_is_applied(self, made: Settings, paths: StoragePaths) -> None:
        paths.run_config.write_text("utterance_embeddings: {segment_max_s: 10.0}\n")
        run = plan(made)
        assert names(run) == ["utterance_embeddings", "processed_data"]
        assert run is not None
        assert run.config == {"ops": {"utterance_embeddings": {"config": {"segment_max_s": 10.0}}}}

    def test_options_of_the_machine_put_nothing_out_of_date(self, made: Settings, paths: StoragePaths) -> None:
        urgency = planner_of(made).planned_run("urgency")
        declared = yaml.safe_load(paths.run_config.read_text())
        for op in ("call_recordings", "utterances", "utterance_embeddings", "prosody", "urgency_model"):
            machine = CATALOGUE.options[op].subject.machine  # type: ignore[attr-defined]
            declared[op] = {**declared.get(op, {}), **{name: OTHER_VALUES[name] for name in machine}}
        paths.run_config.write_text(yaml.safe_dump(declared))
        assert plan(made) is None
        after = planner_of(made).planned_run("urgency")
        assert urgency is not None
        assert after is not None
        assert after.identity == urgency.identity
        assert after.config["ops"]["urgency_model"]["config"]["device"] == "cpu"

    def test_an_option_that_is_not_declared_may_have_any_value(self, made: Settings, paths: StoragePaths) -> None:
        # The archive was made with workers=1, which is not the default.
        paths.run_config.unlink()
        assert plan(made) is None

    def test_a_persons_run_with_other_options_stays(self, made: Settings, paths: StoragePaths) -> None:
        paths.run_config.write_text("prosody: {f0_max_hz: 400.0}\n")
        materialise(made, "prosody", options={"prosody": {"f0_max_hz": 350.0}})
        assert plan(made) is None
        paths.run_config.write_text("prosody: {f0_max_hz: 400.0, workers: 2}\n")
        assert plan(made) is None
        paths.run_config.unlink()
        assert plan(made) is None

    def test_it_is_made_again_when_the_declared_option_changes(self, made: Settings, paths: StoragePaths) -> None:
        materialise(made, "prosody", options={"prosody": {"f0_max_hz": 350.0}})
        paths.run_config.write_text("prosody: {f0_max_hz: 400.0}\n")
        run = plan(made)
        assert run is not None
        assert list(run.reasons.values()) == ["its option f0_max_hz changed"]
        assert json.loads(run.tags[DECLARED_TAG]) == {"prosody": {"f0_max_hz": 400.0}}

    def test_it_is_made_again_when_an_input_changes(self, made: Settings, paths: StoragePaths) -> None:
        paths.run_config.write_text("prosody: {f0_max_hz: 400.0}\n")
        materialise(made, "prosody", options={"prosody": {"f0_max_hz": 350.0}})
        paths.archive(ARCHIVE).utterances.unlink()
        run = plan(made)
        assert "prosody" in names(run)
        assert run is not None
        assert run.config["ops"]["prosody"] == {"config": {"f0_max_hz": 400.0}}


class TestDataVersion:
    def test_equal_bytes_made_again_make_nothing_outdated(self, made: Settings) -> None:
        materialise(made, "utterances")
        assert plan(made) is None


class TestIdentity:
    def test_it_does_not_change_while_a_run_makes_progress(self, settings: Settings) -> None:
        before = plan(settings)
        materialise(settings, "call_archive")
        assert names(plan(settings)) == CALLS
        materialise(settings, "call_recordings", "utterances")
        after = plan(settings)
        assert before is not None
        assert after is not None
        assert names(after) == ["utterance_embeddings", "prosody", "processed_data"]
        assert before.identity == after.identity

    def test_it_changes_with_what_landed(self, settings: Settings, paths: StoragePaths) -> None:
        before = plan(settings)
        shutil.copy(
            next(paths.landing_calls.rglob("VS_광주_구급.zip")), next(paths.landing_calls.rglob("TS_광주_구급.zip"))
        )
        after = plan(settings)
        assert before is not None
        assert after is not None
        assert before.identity != after.identity


class TestRunConfig:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("utterance_embedings: {}", "names utterance_embedings; expected some of .*utterance_embeddings"),
            ("- utterances", "is no mapping"),
            ("utterances: 3", "is no mapping"),
            ("utterances: [", "is not YAML"),
            ("training_set: {mode: banana}", "run_config.yaml: training_set: mode is 'banana'; expected"),
            ("urgency_model: {epochs: -3}", "run_config.yaml: urgency_model: epochs is -3; expected"),
            ("utterance_embeddings: {audio_tokens: 0}", "utterance_embeddings: audio_tokens is 0; expected"),
            ("attention_cv: {folds: 4}", "attention_cv: folds is no option; expected one of .*n_splits"),
            ("call_archive: {workers: 4}", "call_archive has options; expected none"),
        ],
    )
    def test_an_error_names_the_key(self, settings: Settings, paths: StoragePaths, content: str, message: str) -> None:
        paths.run_config.write_text(content)
        with pytest.raises(SettingsError, match=message):
            plan(settings)

    def test_an_empty_file_declares_nothing(self, settings: Settings, paths: StoragePaths) -> None:
        paths.run_config.write_text("# nothing yet\n")
        run = plan(settings)
        assert run is not None
        assert run.config == {}


def test_recordings_whose_zips_are_gone_stay_when_the_code_changes(made: Settings, paths: StoragePaths) -> None:
    """They could not be made again: the run would fail each time."""
    manifest = read_manifest(paths, "call_recordings", ARCHIVE)
    assert manifest is not None
    write_manifest(paths, replace(manifest, code_version="0"))
    assert names(plan(made))[0] == "call_recordings"
    shutil.rmtree(paths.landing_calls)
    assert plan(made) is None


def test_an_archive_without_zips_and_folders_is_planned_into_no_failing_run(
    made: Settings, paths: StoragePaths
) -> None:
    """What reads its recordings stays; what reads the tables is made."""
    shutil.rmtree(paths.landing_calls)
    for folder in paths.archive(ARCHIVE).unpacked:
        shutil.rmtree(folder)
    assert plan(made) is None
    for asset in ("call_recordings", "utterances", "processed_data"):
        manifest = read_manifest(paths, asset, ARCHIVE)
        assert manifest is not None
        write_manifest(paths, replace(manifest, code_version="0"))
    paths.manifest("prosody", ARCHIVE).unlink()
    assert names(plan(made)) == ["processed_data"]
    assert list(planner_of(made).kept_without_source()) == [
        f"utterances of {ARCHIVE}: its code changed, but its ZIPs and folders are gone, so it stays",
        f"prosody of {ARCHIVE}: it was never made, but its ZIPs and folders are gone, so it stays",
    ]


class TestTableOfTheOriginal:
    """A CSV and an NPY file of the original's scripts are an archive from `processed_data` on."""

    MADE = ("call_archive", "processed_data")

    @pytest.fixture
    def root(self, tmp_path: Path) -> Settings:
        settings = Settings.load(tmp_path / "root", environment={})
        land(StoragePaths(settings.storage), original_rows(60), original_vectors(60))
        return settings

    def test_only_its_processed_data_are_made(self, root: Settings) -> None:
        run = plan(root)
        assert names(run) == [*self.MADE]
        assert run is not None
        assert run.reason == f"{ARCHIVE} is new"
        assert materialise(root, *self.MADE).success
        assert plan(root) is None
        assert names(planner_of(root).planned_run("urgency"))[0] == "training_set"

    def test_a_training_set_is_built_of_it(self, root: Settings) -> None:
        materialise(root, *self.MADE)
        summary = build_training_set(StoragePaths(root.storage), [ARCHIVE], SplitConfig())
        assert (sum(summary.utterances.values()), sum(summary.calls.values())) == (60, 20)
        assert (summary.audio_width, summary.audio_tokens) == (5, 1)
        assert find_shared_calls(StoragePaths(root.storage), [ARCHIVE]).recordings == 0

    def test_other_content_makes_it_again_and_the_same_bytes_do_not(self, root: Settings) -> None:
        materialise(root, *self.MADE)
        paths = StoragePaths(root.storage)
        land(paths, original_rows(60).assign(text="다른 말"), original_vectors(60))
        assert names(plan(root)) == ["call_archive"]
        materialise(root, "call_archive")
        assert names(plan(root)) == ["processed_data"]
        materialise(root, "processed_data")
        assert plan(root) is None
        for path in (paths.landing_calls / "original").iterdir():
            os.utime(path, (1, 1))
        assert names(plan(root)) == ["call_archive"]
        materialise(root, "call_archive")
        assert plan(root) is None

    def test_a_deleted_table_makes_nothing_out_of_date(self, root: Settings) -> None:
        materialise(root, *self.MADE)
        shutil.rmtree(StoragePaths(root.storage).landing_calls / "original")
        assert list(planner_of(root).planned_runs("calls")) == []
        assert partitions_with_manifest(StoragePaths(root.storage), "processed_data") == [ARCHIVE]

    def test_its_recordings_cannot_be_unpacked(self, root: Settings) -> None:
        with pytest.raises(dg.Failure, match="landed as a CSV with vectors"):
            materialise(root, "call_recordings")

    def test_one_that_is_named_in_the_options_is_an_archive_too(self, root: Settings) -> None:
        paths = StoragePaths(root.storage)
        (paths.landing_calls / "original").rename(paths.root / "mine")
        assert list(planner_of(root).planned_runs("calls")) == []
        named = {"csv": "mine/광주_구급_full_final.csv", "npy": str(paths.root / "mine/wav2vec2_embeddings_full.npy")}
        section = {"landing": {"tables": {"V_대구_구급": named}}}
        paths.run_config.write_text(yaml.safe_dump(section, allow_unicode=True), encoding="utf-8")
        assert names(plan(root, "V_대구_구급")) == [*self.MADE]
        assert materialise(root, *self.MADE, archive="V_대구_구급").success
        assert list(planner_of(root).planned_runs("calls")) == []
        os.utime(paths.root / "mine" / "광주_구급_full_final.csv", (1, 1))
        assert names(plan(root, "V_대구_구급")) == ["call_archive"]
        paths.run_config.unlink()
        assert list(planner_of(root).planned_runs("calls")) == [], "like a table that was deleted after use"

    @pytest.mark.parametrize(
        ("section", "said"),
        [
            ({"tables": {"T_a": {"csv": "a.csv"}}}, "landing: tables.T_a.npy is missing"),
            ({"table": {}}, "landing: table is no option; expected one of tables"),
        ],
    )
    def test_a_wrong_option_is_refused(self, root: Settings, section: dict[str, object], said: str) -> None:
        """The scan itself goes on, so that the page opens."""
        StoragePaths(root.storage).run_config.write_text(yaml.safe_dump({"landing": section}), encoding="utf-8")
        assert list(planner_of(root).landed.calls.pairs) == [ARCHIVE]
        with pytest.raises(SettingsError, match=said):
            planner_of(root).planned_run("calls", ARCHIVE)
