"""`urgency-dagster run`, killed at random moments of the embedding step, then run to its end."""

import random
import shutil
import time
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.conftest import instance_of
from urgency_dagster_tests.defs.killing import archive_files, wait

ARCHIVE = "T_광주_구급"
CALLS, SHARD = 200, 12
KILLS = 10
OPTIONS = f"""
call_recordings: {{workers: 1}}
utterances: {{workers: 1}}
utterance_embeddings: {{workers: 1, engine: torch, shard_utterances: {SHARD}, batch_audio_s: 2}}
"""
EMBEDDINGS = dg.AssetKey("utterance_embeddings")


def land(root: Path, build: Builder) -> None:
    """Replaces the demo's archives by one of 600 utterances, in 50 shards."""
    paths = StoragePaths(root)
    shutil.rmtree(paths.landing_calls)
    build.pair(paths.landing_calls, ARCHIVE, *build.calls(*(build.label(build.call_id(n)) for n in range(CALLS))))
    paths.run_config.write_text(OPTIONS)


def forget_embeddings(paths: StoragePaths) -> None:
    paths.archive(ARCHIVE).embeddings.unlink()
    for asset in ("utterance_embeddings", "processed_data"):
        paths.manifest(asset, ARCHIVE).unlink()


def finished(paths: StoragePaths) -> dict[str, tuple[int, int]]:
    """The finished shards by name, with their inode and time of change."""
    files = paths.archive(ARCHIVE).shards.glob("*.npy")
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def kill(root: Path, moment: random.Random, forked: CommandServer, *, after_a_shard: bool) -> None:
    """Kills all processes of a `run` command: soon after it finished a shard, or at a random time before."""
    paths = StoragePaths(root)
    before = len(finished(paths))
    with forked.running(root) as command:
        if after_a_shard:
            wait(command, lambda: len(finished(paths)) > before)
            time.sleep(moment.uniform(0, 0.2))
        else:
            time.sleep(moment.uniform(0, 3))


def last_metadata(root: Path) -> dict[str, object]:
    """The metadata of the last materialisation of the embeddings."""
    with instance_of(root) as instance:
        event = instance.get_latest_materialization_event(EMBEDDINGS)
        assert event
        assert event.asset_materialization
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills_cost_no_finished_shard_and_change_no_byte(
    build: Builder, storage_root: Path, tmp_path: Path, forked: CommandServer
) -> None:
    undisturbed, root = storage_root, tmp_path / "killed"
    land(undisturbed, build)
    assert forked.run(undisturbed, "--only", "calls").returncode == 0
    shutil.copytree(undisturbed, root)
    paths = StoragePaths(root)
    forget_embeddings(paths)
    moment, kept = random.Random(0), finished(paths)
    for number in range(KILLS):
        kill(root, moment, forked, after_a_shard=number % 2 == 0)
        now = finished(paths)
        assert kept.items() <= now.items(), "a finished shard was written again"
        kept = now
    assert KILLS / 2 <= len(kept) < CALLS * 3 / SHARD, "the kills hit the step"
    done = forked.run(root, "--only", "calls")
    assert done.returncode == 0, done.stdout
    metadata = last_metadata(root)
    assert (metadata["resumed_shards"], metadata["shards"]) == (len(kept), CALLS * 3 // SHARD)
    assert metadata["computed"] == CALLS * 3 - len(kept) * SHARD
    assert archive_files(paths, ARCHIVE) == archive_files(StoragePaths(undisturbed), ARCHIVE)
