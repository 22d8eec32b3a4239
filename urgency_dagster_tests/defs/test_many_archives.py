"""Twelve pairs that land together, then a backfill of all of them: what the real daemon makes of it."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import BACKFILL_ID_TAG

from urgency_dagster.defs.sensors import WITHOUT_TAG
from urgency_dagster.operations.processes import local_process, process_of
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.defs.conftest import instance_of
from urgency_dagster_tests.defs.test_server import Server
from urgency_dagster_tests.defs.watching_runs import ENDED, RUNS, runs_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REGIONS = ("서울", "부산", "인천", "대구", "광주", "대전")
GOOD = [f"{side}_{region}_구급" for region in REGIONS[:5] for side in "TV"][:9]
BAD = [f"T_{region}_화재" for region in REGIONS[:3]]
CALLS = 6
"""Calls of an archive: each urgency with two sentiments."""

TEXTS = {"하": "네 문의드립니다", "중": "다리를 다쳤어요", "상": "숨을 안 쉬어요 빨리요"}
"""What a call of each urgency says, so that the model has something to learn."""

PATIENCE_S = 600.0

BACKFILL = """mutation($partitions: [String!]!) {launchPartitionBackfill(backfillParams: {
  assetSelection: [{path: ["processed_data"]}], partitionNames: $partitions
}) {__typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""


@dataclass
class Twelve:
    """What `dev` made of twelve pairs, three of them bad, when the process of one good run was killed.

    Attributes:
        killed: the run whose process was killed.
        runs: all runs after the training, oldest first.
    """

    paths: StoragePaths
    server: Server
    killed: dg.DagsterRun
    runs: list[dict[str, Any]]

    def of(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job."""
        return [run for run in self.runs if run["jobName"] == job]


def land(build: Builder, paths: StoragePaths, number: int, archive: str) -> None:
    """Lands a pair. Nobody can hear the calls of a bad one."""
    audio, labels = {}, {}
    for call in range(CALLS):
        call_id = build.call_id(number * CALLS + call)
        urgency, sentiment = URGENCY_LEVELS[call % 3], SENTIMENTS[call % 2]
        said = [build.utterance(turn, text=TEXTS[urgency]) for turn in range(3)]
        label = build.label(call_id, urgencyLevel=urgency, sentiment=sentiment, utterances=said)
        labels[f"{call_id}_20230101.json"] = build.json(label)
        sound = build.wav(seed=number * CALLS + call)
        audio[f"{call_id}_20230101.wav"] = b"not audio" if archive in BAD else sound
    build.pair(paths.landing_calls, archive, audio, labels)


@pytest.fixture(scope="module")
def twelve(demo_root: Path, build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twelve]:
    paths = StoragePaths(tmp_path_factory.mktemp("twelve") / "storage")
    paths.landing_calls.mkdir(parents=True)
    shutil.copytree(demo_root / "models", paths.root / "models")
    shutil.copy(demo_root / "settings.env", paths.settings_env)
    paths.run_config.write_text("urgency_model: {epochs: 9, learning_rate: 0.002}\n")
    server = Server(paths.root)
    try:
        server.wait_for(RUNS, lambda data: "results" in data["runsOrError"])
        for number, archive in enumerate([*GOOD, *BAD]):
            land(build, paths, number, archive)
        killed = kill_one(paths, server)
        server.wait_for(RUNS, lambda data: trained(runs_of(data)), seconds=PATIENCE_S)
        time.sleep(25)  # two more ticks, which start nothing
        yield Twelve(paths, server, killed, runs_of(server.ask(RUNS)))
    finally:
        server.stop()


def trained(runs: list[dict[str, Any]]) -> bool:
    return any(run["jobName"] == "urgency_job" and run["status"] in ENDED for run in runs)


def kill_one(paths: StoragePaths, server: Server) -> dg.DagsterRun:
    """Kills the process of the first good run."""

    def works(data: Any) -> list[dict[str, Any]]:
        return [run for run in runs_of(data) if run["status"] == "STARTED" and run["archive"] in GOOD]

    run_id = works(server.wait_for(RUNS, works))[0]["runId"]
    with instance_of(paths.root) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    identity = process_of(run)
    process = local_process(identity) if identity else None
    assert process is not None
    process.kill()
    return run


def test_nine_archives_are_made_and_three_are_not(twelve: Twelve) -> None:
    made = {archive for archive in [*GOOD, *BAD] if twelve.paths.manifest("processed_data", archive).is_file()}
    assert made == set(GOOD)
    last = {run["archive"]: run["status"] for run in twelve.of("calls_job")}
    assert last == dict.fromkeys(GOOD, "SUCCESS") | dict.fromkeys(BAD, "FAILURE")


def test_each_bad_archive_has_its_cause_under_its_own_partition(twelve: Twelve) -> None:
    with instance_of(twelve.paths.root) as instance:
        for archive in BAD:
            wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("utterances"), asset_partitions=[archive])
            (record,) = instance.fetch_observations(wanted, limit=1).records
            observation = record.asset_observation
            assert observation is not None
            assert "unreadable audio" in str(observation.metadata), archive


def test_bad_data_is_not_tried_again_and_the_killed_run_is(twelve: Twelve) -> None:
    tries = [run["archive"] for run in twelve.of("calls_job")]
    killed = twelve.killed.tags["dagster/partition"]
    assert sorted(tries) == sorted([*GOOD, *BAD, killed])


def test_one_training_follows_and_names_the_archives_that_are_missing(twelve: Twelve) -> None:
    (training,) = twelve.of("urgency_job")
    assert training["status"] == "SUCCESS"
    assert training["tags"][WITHOUT_TAG] == ", ".join(sorted(BAD))
    assert training["creationTime"] > max(run["endTime"] for run in twelve.of("calls_job"))
    assert twelve.runs[-1] == training


def test_no_training_starts_before_a_backfill_of_all_archives_ends(twelve: Twelve) -> None:
    server, before = twelve.server, {run["runId"] for run in twelve.runs}
    launched = server.ask(BACKFILL, partitions=GOOD)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    twelve.paths.urgency.checkpoint.unlink()
    data = server.wait_for(RUNS, lambda data: trained(new_runs(data, before)), seconds=PATIENCE_S)
    runs = new_runs(data, before)
    (training,) = (run for run in runs if run["jobName"] == "urgency_job")
    of_backfill = [run for run in runs if run["tags"].get(BACKFILL_ID_TAG) == launched["backfillId"]]
    assert sorted(run["archive"] for run in of_backfill) == sorted(GOOD)
    assert {run["status"] for run in of_backfill} == {"SUCCESS"}
    assert training["creationTime"] > max(run["endTime"] for run in of_backfill)
    assert len(runs) == len(GOOD) + 1


def new_runs(data: Any, before: set[str]) -> list[dict[str, Any]]:
    return [run for run in runs_of(data) if run["runId"] not in before]
