"""`urgency-dagster run`, killed at random moments of the extraction and of the table step, and then left alone."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from urgency_dagster.manifests import read_manifest
from urgency_dagster.storage import ArchivePaths, StoragePaths
from urgency_dagster_tests.defs.conftest import COMMAND, environment, run_command

KILLS = 20
START_S = 60.0


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `calls/`, hidden and temporary ones included."""
    folder = root / "calls"
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def is_unpacking(paths: StoragePaths) -> bool:
    """Whether some archive is in work and has no account of its members yet."""
    return any(folder.is_dir() and not ArchivePaths(folder).members.is_file() for folder in archives(paths))


def is_tabulating(paths: StoragePaths) -> bool:
    """Whether some archive is unpacked and has no utterance table yet."""
    done = [folder.name for folder in archives(paths) if read_manifest(paths, "call_recordings", folder.name)]
    return any(read_manifest(paths, "utterances", archive) is None for archive in done)


def archives(paths: StoragePaths) -> list[Path]:
    folder = paths.root / "calls"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def kill_during(root: Path, stage: Callable[[StoragePaths], bool], delay_s: float) -> bool:
    """Starts `run` and kills all of its processes a while after a stage was seen; whether it was still at work."""
    command = [str(COMMAND), "run", "--only", "calls"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment(root), start_new_session=True, **quiet) as process:
        deadline = time.monotonic() + START_S
        while process.poll() is None and not stage(StoragePaths(root)) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay_s)
        at_work = process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    return at_work


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills_leave_no_trace(first_run, demo_root: Path, tmp_path: Path) -> None:
    undisturbed, _ = first_run
    root = tmp_path / "storage"
    shutil.copytree(demo_root, root)
    rng = random.Random(0)
    at_work = 0
    for kill in range(KILLS):
        stage = is_tabulating if kill % 2 else is_unpacking
        at_work += kill_during(root, stage, rng.uniform(0, 1.5))
        if kill % 2:  # the next one finds work to kill
            for manifest in ("call_recordings", "utterances"):
                shutil.rmtree(StoragePaths(root).manifest(manifest, "any").parent, ignore_errors=True)
    assert at_work == KILLS
    assert run_command(root, "--only", "calls").returncode == 0
    assert contents(root) == contents(undisturbed)
