"""`urgency-dagster run`, killed at random moments of the extraction and of the table step, then run to its end."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.child_process import PATIENCE_S
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.killing import archive_files, wait

ARCHIVE = "T_광주_구급"
CALLS, SPOKEN = 2000, 4
KILLS = 20
OPTIONS = """
call_recordings: {workers: 1}
utterances: {workers: 1, rejected_calls_max: 1.0, rejected_utterances_max: 1.0}
utterance_embeddings: {workers: 1, engine: torch}
"""
"""Most calls are rejected. Processes within a step are killed in the tests of `unpacking`."""

Stage = Callable[[StoragePaths], bool]


def land_many(root: Path, build: Builder) -> None:
    """Replaces the demo's archives by one whose steps last long enough to be hit.

    Only `SPOKEN` calls are long enough to be kept and embedded.
    """
    paths = StoragePaths(root)
    shutil.rmtree(paths.landing_calls)
    long, short = [build.utterance(0, endAt=600)], [build.utterance(0, endAt=100)]
    ids = [build.call_id(number) for number in range(CALLS)]
    labels = {id_: build.label(id_, utterances=long if n < SPOKEN else short) for n, id_ in enumerate(ids)}
    sounds = [build.wav(1000, seed=number) for number in range(SPOKEN)]
    build.pair(
        paths.landing_calls,
        ARCHIVE,
        {f"{id_}_1.wav": sounds[number % SPOKEN] for number, id_ in enumerate(ids)},
        {f"{id_}_1.json": build.json(label) for id_, label in labels.items()},
    )
    paths.run_config.write_text(OPTIONS)


def is_unpacking(paths: StoragePaths) -> bool:
    return paths.archive(ARCHIVE).unpacking.is_dir()


def is_tabulating(paths: StoragePaths) -> bool:
    return any(paths.archive(ARCHIVE).folder.glob(".utterances.parquet.*.tmp"))


def is_over(paths: StoragePaths, stage: Stage) -> bool:
    """Whether the stage ended before the kill and would do nothing in the next run."""
    archive = paths.archive(ARCHIVE)
    return (archive.members if stage is is_unpacking else archive.utterances).exists()


def durations(root: Path, forked: CommandServer) -> dict[Stage, float]:
    """The seconds that each stage lasts without a kill."""
    paths = StoragePaths(root)
    seconds: dict[Stage, float] = {}
    with forked.running(root) as command:
        for stage in (is_unpacking, is_tabulating):
            start = wait(command, lambda stage=stage: stage(paths))  # type: ignore[misc]
            seconds[stage] = wait(command, lambda stage=stage: not stage(paths)) - start  # type: ignore[misc]
        assert command.wait(PATIENCE_S) == 0
    return seconds


def kill_during(root: Path, stage: Stage, delay_s: float, forked: CommandServer) -> bool:
    """Kills all processes of a `run` command `delay_s` after a stage began; returns whether the stage still ran."""
    paths = StoragePaths(root)
    with forked.running(root) as command:
        wait(command, lambda: stage(paths))
        time.sleep(delay_s)
        return stage(paths)


def start_again(paths: StoragePaths) -> None:
    shutil.rmtree(paths.archive(ARCHIVE).folder)
    shutil.rmtree(paths.manifest("call_recordings", ARCHIVE).parent, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills_leave_no_trace(build: Builder, storage_root: Path, tmp_path: Path, forked: CommandServer) -> None:
    root, undisturbed = storage_root, tmp_path / "undisturbed"
    land_many(root, build)
    shutil.copytree(root, undisturbed)
    lasts = durations(undisturbed, forked)
    rng, hits = random.Random(0), {is_unpacking: 0, is_tabulating: 0}
    for kill in range(KILLS):
        stage = is_unpacking if kill < KILLS / 2 else is_tabulating
        if is_over(StoragePaths(root), stage):
            start_again(StoragePaths(root))
        delay_s = rng.uniform(0, 0.9 * lasts[stage])
        hit = kill_during(root, stage, delay_s, forked)
        hits[stage] += hit
        lasts[stage] = lasts[stage] if hit else delay_s  # the machine was busier while it was measured
    done = forked.run(root, "--only", "calls")
    assert done.returncode == 0, done.stdout
    assert archive_files(StoragePaths(root), ARCHIVE) == archive_files(StoragePaths(undisturbed), ARCHIVE)
    assert min(hits.values()) > KILLS / 4, hits
