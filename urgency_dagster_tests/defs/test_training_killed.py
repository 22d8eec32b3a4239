"""`urgency-dagster run`, killed in the third epoch of the training, then run to its end."""

import shutil
from pathlib import Path

import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.package.checkpoints import read_checkpoint
from urgency_dagster.urgency.training.resume import LAST
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.killing import wait


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def epochs_done(root: Path) -> int:
    """The number of epochs that a resumed training skips."""
    last = StoragePaths(root).urgency.unfinished_training / LAST
    return len(read_checkpoint(last)["history"]) if last.is_file() else 0


def kill_in_epoch(root: Path, epoch: int, forked: CommandServer) -> None:
    """Kills all processes of a `run` command as soon as the epoch before is over; tries again after a late kill."""
    while epochs_done(root) != epoch - 1:
        shutil.rmtree(StoragePaths(root).urgency.unfinished_training, ignore_errors=True)
        with forked.running(root, "urgency") as command:
            wait(command, lambda: epochs_done(root) >= epoch - 1)


@pytest.mark.slow
def test_a_training_that_is_killed_in_epoch_3_gives_the_same_files(finished_root: Path, forked: CommandServer) -> None:
    paths = StoragePaths(finished_root)
    undisturbed = contents(paths.urgency.folder)
    paths.urgency.checkpoint.unlink()
    kill_in_epoch(finished_root, 3, forked)
    assert not paths.urgency.checkpoint.exists()
    done = forked.run(finished_root, "--only", "urgency")
    assert done.returncode == 0, done.stdout
    assert contents(paths.urgency.folder) == undisturbed
