"""The sensor, tick by tick, on a real instance and real files."""

import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.selector import (
    PartitionRangeSelector,
    PartitionsByAssetSelector,
    PartitionsSelector,
)
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.resources import resources
from urgency_dagster.defs.sensors import landing_sensor
from urgency_dagster.operations.instance import run_lock
from urgency_dagster.operations.landing_events import EVERY_FILE_IS_USED, STEADY_TICKS
from urgency_dagster.operations.planning import WORK_TAG
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json
from urgency_dagster_tests.calls.watching import watching
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.defs.materialising import materialise

ARCHIVES = ["T_광주_구급", "T_서울_화재", "V_광주_구급"]


class Ticks:
    """A sensor that keeps its cursor from one tick to the next, as the daemon does."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self.cursor: str | None = None

    def next(self) -> dg.SensorResult:
        given = resources(self.settings)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"storage": given["storage"], "models": given["models"]},
            definitions=build_definitions(self.settings),
        )
        result = landing_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return result

    def add_run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """A run as the daemon would have made it, that came to `status`."""
        tags = {**request.tags, **({"dagster/partition": request.partition_key} if request.partition_key else {})}
        job = build_definitions(self.settings).resolve_job_def(str(request.job_name))
        return self.instance.create_run_for_job(job, tags=tags, status=status)


@pytest.fixture
def ticks(settings: Settings) -> Iterator[Ticks]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticks(settings, instance)


def requested(result: dg.SensorResult) -> list[str]:
    return [request.partition_key or str(request.job_name) for request in result.run_requests or ()]


def words(result: dg.SensorResult) -> str:
    assert result.skip_reason is not None
    return str(result.skip_reason.skip_message)


def test_a_file_is_used_after_two_equal_fingerprints(ticks: Ticks) -> None:
    first = ticks.next()
    assert requested(first) == []
    assert words(first).startswith("first look: 4 inputs; each is used when it is the same at the next tick.")
    assert "changed" not in words(first)
    assert requested(ticks.next()) == [*ARCHIVES, "attention_job"]


def test_a_file_that_still_grows_waits(ticks: Ticks, paths: StoragePaths) -> None:
    ticks.next()
    with next(paths.landing_calls.rglob("TL_서울_화재.zip")).open("ab") as stream:
        stream.write(b"\0")
    assert requested(ticks.next()) == ["T_광주_구급", "V_광주_구급", "attention_job"]


def test_partitions_are_added_once_and_nothing_is_hashed(ticks: Ticks, paths: StoragePaths) -> None:
    opened: list[Path] = []
    with watching(opened.append):
        ticks.next()
        second, third = ticks.next(), ticks.next()
    assert ticks.instance.get_dynamic_partitions(str(call_archives.name)) == ARCHIVES
    assert not second.asset_events
    assert not third.dynamic_partitions_requests
    facts = [entry["facts"] for entry in read_json(paths.landing_hashes).values()]
    assert len(facts) == 6
    assert not [entry for entry in facts if "sha256" in entry]
    assert paths.attention_pickle not in opened


def test_a_request_has_only_the_missing_assets(ticks: Ticks) -> None:
    materialise(ticks.settings, "call_recordings", "utterances")
    ticks.next()
    request = next(item for item in ticks.next().run_requests or () if item.partition_key == ARCHIVES[0])
    assert [key.to_user_string() for key in request.asset_selection or ()] == [
        "utterance_embeddings",
        "prosody",
        "processed_data",
    ]


def test_a_run_in_progress_is_not_requested_again(ticks: Ticks) -> None:
    ticks.next()
    for request in ticks.next().run_requests or ():
        ticks.add_run(request, dg.DagsterRunStatus.STARTED)
    assert requested(ticks.next()) == []
    # Also not when the run has come half of its way.
    materialise(ticks.settings, "call_recordings", "utterances")
    assert requested(ticks.next()) == []


def test_a_failed_run_is_requested_again_only_after_its_deletion(ticks: Ticks) -> None:
    ticks.next()
    runs = [ticks.add_run(request, dg.DagsterRunStatus.FAILURE) for request in ticks.next().run_requests or ()]
    assert requested(ticks.next()) == []
    ticks.instance.delete_run(runs[0].run_id)
    assert requested(ticks.next()) == [ARCHIVES[0]]


def test_a_failed_archive_with_new_content_is_requested_again(ticks: Ticks, paths: StoragePaths) -> None:
    ticks.next()
    for request in ticks.next().run_requests or ():
        ticks.add_run(request, dg.DagsterRunStatus.FAILURE)
    shutil.copy(
        next(paths.landing_calls.rglob("VS_광주_구급.zip")), next(paths.landing_calls.rglob("TS_광주_구급.zip"))
    )
    ticks.next()
    assert requested(ticks.next()) == [ARCHIVES[0]]


def test_training_starts_after_all_archives_are_made_or_failed(ticks: Ticks) -> None:
    ticks.next()
    made, failed, running, _ = ticks.next().run_requests or ()
    ticks.add_run(failed, dg.DagsterRunStatus.FAILURE)
    last = ticks.add_run(running, dg.DagsterRunStatus.STARTED)
    materialise(ticks.settings, archive=str(made.partition_key))
    assert "urgency_job" not in requested(ticks.next())
    ticks.instance.report_run_failed(last)
    assert "urgency_job" in requested(ticks.next())


def reported_problems(result: dg.SensorResult) -> list[dict[str, str]]:
    """The unusable files that the tick reported for the check of `call_archive`."""
    evaluations = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    (event,) = [event for event in evaluations if event.asset_check_key == EVERY_FILE_IS_USED]
    assert event.severity == dg.AssetCheckSeverity.WARN
    table = event.metadata["not_used"]
    assert isinstance(table, dg.TableMetadataValue)
    return [{name: str(value) for name, value in record.data.items()} for record in table.records]


def test_unusable_files_have_a_reason(ticks: Ticks, paths: StoragePaths) -> None:
    shutil.copy(next(paths.landing_calls.rglob("TS_광주_구급.zip")), paths.landing_calls / "TS_서울_구조.zip")
    (paths.landing_calls / "download.tar").write_bytes(b"")
    tick = ticks.next()
    message = str(tick.skip_reason.skip_message)  # type: ignore[union-attr]
    assert "2 files cannot be used" in message
    assert "TS_서울_구조.zip: its partner TL_서울_구조.zip has not landed" in message
    reasons = {row["file"]: row["reason"] for row in reported_problems(tick)}
    assert sorted(reasons) == ["TS_서울_구조.zip", "download.tar"]
    assert "partner" in reasons["TS_서울_구조.zip"]
    assert "tar" in reasons["download.tar"]


def test_unusable_files_are_reported_after_each_change(ticks: Ticks, paths: StoragePaths) -> None:
    odd = paths.landing_calls / "notes.zip"
    odd.write_bytes(b"")
    assert [row["file"] for row in reported_problems(ticks.next())] == ["notes.zip"]
    assert not ticks.next().asset_events
    odd.unlink()
    assert reported_problems(ticks.next()) == []


def test_a_file_that_changes_between_two_ticks_says_so(ticks: Ticks, paths: StoragePaths) -> None:
    ticks.next()
    os.utime(next(paths.landing_calls.rglob("TL_서울_화재.zip")), (1, 1))
    (row,) = reported_problems(ticks.next())
    assert row["file"] == "T_서울_화재"
    assert row["reason"].startswith("its size or time changed since the last tick")


def test_a_problem_is_told_once(ticks: Ticks, paths: StoragePaths, capfd: pytest.CaptureFixture[str]) -> None:
    odd = paths.landing_calls / "notes.zip"
    odd.write_bytes(b"")

    def told() -> int:
        capfd.readouterr()
        ticks.next()
        return capfd.readouterr().err.count("not used: notes.zip")

    assert [told(), told(), told()] == [1, 0, 0]
    odd.rename(odd.with_name("notes2.zip"))
    ticks.next()
    odd.with_name("notes2.zip").rename(odd)
    assert told() == 1


def request_of(ticks: Ticks, archive: str) -> list[str] | None:
    """The assets that are requested for an archive after two ticks, or None."""
    ticks.next()
    found = [item for item in ticks.next().run_requests or () if item.partition_key == archive]
    return [key.to_user_string() for key in found[0].asset_selection or ()] if found else None


def test_equal_bytes_are_hashed_and_request_nothing_more(made: Settings, paths: StoragePaths) -> None:
    """Touched, copied again, or moved: the content is what counts."""
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(made, instance)
        assert request_of(ticks, ARCHIVES[0]) is None
        audio = next(paths.landing_calls.rglob("TS_광주_구급.zip"))
        os.utime(audio, (1, 1))
        assert request_of(ticks, ARCHIVES[0]) == ["call_archive"]
        materialise(made, "call_archive")
        assert request_of(ticks, ARCHIVES[0]) is None
        content = audio.read_bytes()
        audio.unlink()
        (paths.landing_calls / audio.name).write_bytes(content)
        assert request_of(ticks, ARCHIVES[0]) == ["call_archive"]
        materialise(made, "call_archive")
        assert request_of(ticks, ARCHIVES[0]) is None


def test_a_zip_whose_parts_were_joined_requests_nothing_more(made: Settings, paths: StoragePaths) -> None:
    audio = next(paths.landing_calls.rglob("TS_광주_구급.zip"))
    content = audio.read_bytes()
    audio.unlink()
    parts = {0: content[:1000], 1000: content[1000:]}
    for offset, part in parts.items():
        audio.with_name(f"{audio.name}.part{offset}").write_bytes(part)
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(made, instance)
        assert request_of(ticks, ARCHIVES[0]) == ["call_archive"]
        materialise(made, "call_archive")
        assert request_of(ticks, ARCHIVES[0]) is None


def test_other_bytes_under_the_same_name_request_all_assets(made: Settings, paths: StoragePaths) -> None:
    audio, other = (next(paths.landing_calls.rglob(f"{name}.zip")) for name in ("TS_광주_구급", "VS_광주_구급"))
    shutil.copy(other, audio)
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(made, instance)
        assert request_of(ticks, ARCHIVES[0]) == ["call_archive"]
        materialise(made, "call_archive")
        expected = ["call_recordings", "utterances", "utterance_embeddings", "prosody", "processed_data"]
        assert request_of(ticks, ARCHIVES[0]) == expected


def test_a_file_whose_time_changes_by_itself_settles_by_its_size(ticks: Ticks, paths: StoragePaths) -> None:
    """As on SMB or NFS. The content is hashed afterwards."""
    audio, times = next(paths.landing_calls.rglob("TS_광주_구급.zip")), itertools.count(1)
    used = []
    for _ in range(STEADY_TICKS + 1):
        time_s = next(times)
        os.utime(audio, (time_s, time_s))
        used.append(ARCHIVES[0] in requested(ticks.next()))
    assert used == [False] * (STEADY_TICKS - 1) + [True] * 2


def test_it_requests_nothing_while_a_run_command_is_running(ticks: Ticks) -> None:
    ticks.next()
    with run_lock(Path(ticks.instance.root_directory)):
        busy = ticks.next()
    assert requested(busy) == []
    assert "`urgency-dagster run` is running" in str(busy.skip_reason.skip_message)  # type: ignore[union-attr]
    assert not busy.dynamic_partitions_requests
    ticks.next()
    assert requested(ticks.next()) == [*ARCHIVES, "attention_job"]


def test_an_empty_root_skips(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = Ticks(Settings.load(tmp_path, environment={}), instance).next()
    assert requested(result) == []
    assert result.skip_reason is not None


def test_a_request_has_the_identity_as_a_tag(ticks: Ticks) -> None:
    ticks.next()
    assert all(request.tags[WORK_TAG] for request in ticks.next().run_requests or ())


def test_a_request_says_why(ticks: Ticks) -> None:
    ticks.next()
    reasons = [request.tags["reason"] for request in ticks.next().run_requests or ()]
    assert reasons == [*(f"{archive} is new" for archive in ARCHIVES), "attention.pkl is new"]


@pytest.fixture
def finished(made: Settings, paths: StoragePaths) -> Iterator[Ticks]:
    """One archive has landed and is made: the next tick would train."""
    for file in [*paths.landing_calls.rglob("*_서울_화재.zip"), *paths.landing_calls.rglob("V*_광주_구급.zip")]:
        file.unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(made, instance)
        ticks.next()
        yield ticks


def asset_run(ticks: Ticks, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    """A run of `processed_data` as the Materialize dialog makes it."""
    job = build_definitions(ticks.settings).resolve_implicit_global_asset_job_def()
    key = dg.AssetKey("processed_data")
    job = job.get_subset(asset_selection={key})
    run_tags = {"dagster/partition": ARCHIVES[0], **{name.replace("__", "/"): value for name, value in tags.items()}}
    return ticks.instance.create_run_for_job(job, tags=run_tags, status=status, asset_selection={key})


def test_training_waits_for_a_run_of_the_materialize_dialog(finished: Ticks) -> None:
    run = asset_run(finished, dg.DagsterRunStatus.STARTED)
    waiting = finished.next()
    assert requested(waiting) == ["attention_job"]
    finished.instance.delete_run(run.run_id)
    assert requested(finished.next()) == ["urgency_job", "attention_job"]


def test_training_waits_for_a_run_that_will_be_retried(finished: Ticks) -> None:
    run = asset_run(finished, dg.DagsterRunStatus.FAILURE, dagster__will_retry="true")
    assert requested(finished.next()) == ["attention_job"]
    finished.instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    assert requested(finished.next()) == ["urgency_job", "attention_job"]


def backfill(ticks: Ticks, *archives: str) -> PartitionBackfill:
    """A backfill of processed_data that has created no run yet."""
    repository = build_definitions(ticks.settings).get_repository_def()
    ticks.instance.add_dynamic_partitions(str(call_archives.name), list(archives))
    with partition_loading_context(dynamic_partitions_store=ticks.instance):
        made = PartitionBackfill.from_partitions_by_assets(
            backfill_id="backfill",
            asset_graph=repository.asset_graph,
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=ticks.instance,
            partitions_by_assets=[
                PartitionsByAssetSelector(
                    asset_key=dg.AssetKey("processed_data"),
                    partitions=PartitionsSelector([PartitionRangeSelector(archive, archive) for archive in archives]),
                )
            ],
            title=None,
            description=None,
            run_config=None,
        )
    assert isinstance(made, PartitionBackfill)
    return made


def test_training_waits_for_a_backfill_without_runs(finished: Ticks) -> None:
    added = backfill(finished, ARCHIVES[0])
    finished.instance.add_backfill(added)
    assert requested(finished.next()) == ["attention_job"]
    finished.instance.update_backfill(added.with_status(BulkActionStatus.COMPLETED_SUCCESS))  # type: ignore[no-untyped-call]
    assert requested(finished.next()) == ["urgency_job", "attention_job"]


def test_an_archive_in_a_backfill_is_not_requested_beside_it(ticks: Ticks) -> None:
    ticks.next()
    ticks.instance.add_backfill(backfill(ticks, ARCHIVES[0]))
    assert requested(ticks.next()) == [*ARCHIVES[1:], "attention_job"]


def test_training_names_the_archives_whose_runs_failed(ticks: Ticks) -> None:
    ticks.next()
    for request in ticks.next().run_requests or ():
        if request.partition_key in ARCHIVES[:2]:
            ticks.add_run(request, dg.DagsterRunStatus.FAILURE)
    materialise(ticks.settings, archive=ARCHIVES[2])
    training = next(request for request in ticks.next().run_requests or () if request.job_name == "urgency_job")
    assert training.tags["without"] == "T_광주_구급, T_서울_화재"
    assert "without T_광주_구급, T_서울_화재" in training.tags["reason"]


def test_a_skipped_tick_names_the_state_of_the_archives(ticks: Ticks) -> None:
    ticks.next()
    made, failed, running, attention = ticks.next().run_requests or ()
    ticks.add_run(failed, dg.DagsterRunStatus.FAILURE)
    ticks.add_run(running, dg.DagsterRunStatus.STARTED)
    ticks.add_run(attention, dg.DagsterRunStatus.STARTED)
    materialise(ticks.settings, archive=str(made.partition_key))
    message = words(ticks.next())
    assert "1 up to date; 1 failed and waiting for a person (T_서울_화재); 1 in work" in message
    assert "training of the urgency model waits" in message


def test_a_failure_of_the_former_version_still_counts(ticks: Ticks) -> None:
    ticks.next()
    request = (ticks.next().run_requests or ())[0]
    ticks.add_run(
        request.with_replaced_attrs(tags={"urgency/work": request.tags[WORK_TAG]}), dg.DagsterRunStatus.FAILURE
    )
    assert ARCHIVES[0] not in requested(ticks.next())


class TestRecordings:
    """Recordings that land for scoring, on a root with nothing else."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings.load(tmp_path / "scored", environment={})

    @pytest.fixture
    def landing(self, settings: Settings) -> Path:
        folder = StoragePaths(settings.storage).landing_scoring
        folder.mkdir(parents=True)
        return folder

    @pytest.fixture
    def ticks(self, settings: Settings) -> Iterator[Ticks]:
        with dg.DagsterInstance.ephemeral() as instance:
            yield Ticks(settings, instance)

    def test_each_archive_has_a_partition_and_a_run(self, ticks: Ticks, landing: Path, build: Builder) -> None:
        build.zip(landing / "mon.zip", {"a.wav": b""})
        (landing / "b.wav").write_bytes(b"")
        assert requested(ticks.next()) == []
        assert requested(ticks.next()) == ["loose_recordings", "mon"]
        assert ticks.instance.get_dynamic_partitions("scoring_archives") == ["loose_recordings", "mon"]
        assert ticks.instance.get_dynamic_partitions("call_archives") == []

    def test_a_run_in_progress_is_not_requested_again(self, ticks: Ticks, landing: Path) -> None:
        (landing / "b.wav").write_bytes(b"")
        ticks.next()
        for request in ticks.next().run_requests or ():
            assert request.job_name == "scoring_job"
            ticks.add_run(request, dg.DagsterRunStatus.STARTED)
        assert requested(ticks.next()) == []

    def test_a_new_file_in_an_archive_waits_one_tick(self, ticks: Ticks, landing: Path) -> None:
        (landing / "b.wav").write_bytes(b"")
        ticks.next()
        (landing / "c.wav").write_bytes(b"")
        changed = ticks.next()
        assert requested(changed) == []
        check = next(event for event in changed.asset_events if isinstance(event, dg.AssetCheckEvaluation))
        not_used = check.metadata["not_used"]
        assert isinstance(not_used, dg.TableMetadataValue)
        assert [record.data["file"] for record in not_used.records] == ["scoring/loose_recordings"]
        assert requested(ticks.next()) == ["loose_recordings"]

    def test_recordings_that_wait_for_a_model_are_told(self, ticks: Ticks, landing: Path) -> None:
        (landing / "b.wav").write_bytes(b"")
        assert "1 of them wait for the first trained urgency model" in words(ticks.next())
