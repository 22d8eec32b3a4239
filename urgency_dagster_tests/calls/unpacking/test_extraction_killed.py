"""An extraction that is killed, before each step it takes or at random moments, and then called again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from urgency_dagster.calls.landing.pairs import ArchivePair
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.paths import ArchivePaths, StoragePaths
from urgency_dagster_tests.calls.extracting import ARCHIVE, contents
from urgency_dagster_tests.child_process import PATIENCE_S
from urgency_dagster_tests.conftest import Builder

KILLS = 8

EXTRACT = """
import json, os, shutil, signal, sys
from pathlib import Path
import pyarrow.parquet
from urgency_dagster.calls.landing.pairs import ArchivePair
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.paths import StoragePaths

def extract(root, landing, workers):
    landed = (LandedZip.whole(Path(landing, name)) for name in ("TS_x.zip", "TL_x.zip"))
    files = StoragePaths(Path(root)).archive("T_x")
    return extract_pair(ArchivePair("T_x", *landed), files, ExtractionConfig(workers=workers))
"""

WITH_WORKERS = f"""{EXTRACT}
if __name__ == "__main__":
    print("begins", flush=True)
    extract(*sys.argv[1:], 2)
    print("ends", flush=True)
"""

STEP_BY_STEP = f"""{EXTRACT}
import pandas  # pyarrow would import it in each attempt

STEPS = ("open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate")
step = last = 0

def kill_before_last(event, args):
    global step
    if event in STEPS and not isinstance(args[0], int):
        path = os.fsdecode(args[0])
        step += not os.path.isabs(path) or "/calls/T_x" in path
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

def attempt(root, landing, steps):
    # In a process of its own; whether it was killed before one of its steps.
    global last
    child = os.fork()
    if child == 0:
        last = steps
        sys.addaudithook(kill_before_last)
        counts = extract(root, landing, 1)
        Path(root, "counts.json").write_text(json.dumps(counts))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0

def tree(folder):
    found = {{str(path.relative_to(folder)): path for path in Path(folder).rglob("*")}}
    return {{name: path.read_bytes() if path.is_file() else None for name, path in found.items()}}

def check_half_way(folder, versions):
    # Folders are of one version or not there at all, and so is the account, which then fits them.
    for side in ("Wave", "Label"):
        assert not (folder / side).exists() or tree(folder / side) in [tree(v / side) for v in versions]
    if (folder / "members.parquet").exists():
        assert not tree(folder / ".unpacking")
        now = {{name: content for name, content in tree(folder).items() if not name.startswith(".unpacking")}}
        assert now in [tree(v) for v in versions]

def whole(folder, wanted):
    names = [name for name, content in tree(wanted).items() if content is not None and name != "members.parquet"]
    places = tree(folder), tree(folder / ".unpacking")
    return sum(any(place.get(name) == tree(wanted)[name] for place in places) for name in names), len(names)

if __name__ == "__main__":
    start, landing, wanted, scratch, again = sys.argv[1:]
    start, wanted = Path(start), Path(wanted, "calls", "T_x")
    versions = [wanted] + [start / "calls" / "T_x"] * (start / "calls" / "T_x" / "Wave").exists()
    steps, killed = 0, True
    while killed:
        steps += 1
        root = Path(scratch, str(steps))
        shutil.copytree(start, root)
        folder = root / "calls" / "T_x"
        killed = attempt(root, landing, steps)
        check_half_way(folder, versions)
        if int(again):
            attempt(root, landing, steps * 7 % 23 + 1)
            check_half_way(folder, versions)
        there, members = whole(folder, wanted)
        assert not attempt(root, landing, 0)
        assert tree(folder) == tree(wanted), steps
        counts = json.loads((root / "counts.json").read_text())
        assert (counts["extracted"], counts["reused"]) == (members - there, there), (steps, counts, there)
        shutil.rmtree(root)
    print(steps)
"""

OLD = {"a.wav": b"a" * 999, "b.wav": b"b" * 99, "gone/c.wav": b"c"}
NEW = {"a.wav": b"a" * 999, "b.wav": b"B" * 99, "new/d.wav": b"d", "bad.txt": b"1"}
OLD_LABELS, NEW_LABELS = {"a.json": b"{}", "b.json": b"[]"}, {"a.json": b"{}", "b.json": b"{ }"}


def extracted(root: Path, pair: ArchivePair, **how: Any) -> ArchivePaths:
    files = StoragePaths(root).archive(ARCHIVE)
    extract_pair(pair, files, ExtractionConfig(), **how)
    return files


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("before", [False, True], ids=["fresh", "replaced"])
def test_a_kill_before_any_step_leaves_no_trace(tmp_path: Path, build: Builder, before: bool, again: bool) -> None:
    start, wanted, landing, scratch = (tmp_path / name for name in ("start", "wanted", "landing", "scratch"))
    start.mkdir()
    if before:
        extracted(start, build.pair(landing, ARCHIVE, OLD, OLD_LABELS))
    extracted(wanted, build.pair(landing, ARCHIVE, NEW, NEW_LABELS))
    (tmp_path / "steps.py").write_text(STEP_BY_STEP)
    command: list[str | Path] = [
        sys.executable,
        tmp_path / "steps.py",
        start,
        landing,
        wanted,
        scratch,
        str(int(again)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 20


class Killed:
    """Extractions with two workers in processes of their own, which share a group."""

    def __init__(self, script: Path, landing: Path) -> None:
        script.write_text(WITH_WORKERS)
        self._script, self._landing = script, landing

    @contextmanager
    def begun(self, root: Path) -> Iterator[subprocess.Popen[str]]:
        """An extraction that has just begun; nothing is left of it afterwards."""
        command: list[str | Path] = [sys.executable, self._script, root, self._landing]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "begins\n"
                yield process
            finally:
                with suppress(ProcessLookupError):  # nothing is left
                    os.killpg(process.pid, signal.SIGKILL)

    def duration_s(self, root: Path) -> float:
        """How long it takes when nobody disturbs it."""
        with self.begun(root) as process:
            began = time.monotonic()
            assert process.stdout is not None
            assert process.stdout.readline() == "ends\n"
            return time.monotonic() - began

    def kill(self, root: Path, delay_s: float) -> bool:
        """Kills all of its processes a while after it began; whether it was still at work."""
        with self.begun(root) as process:
            time.sleep(delay_s)
            os.killpg(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            return bool(process.stdout.read() == "")

    def kill_during(self, root: Path, side: str) -> bool:
        """Kills all of its processes once a member of a side is unpacked; whether it was still at work."""
        folder = StoragePaths(root).archive(ARCHIVE).unpacking / side
        with self.begun(root) as process:
            while not any(folder.glob("*")) and process.poll() is None:
                time.sleep(0.001)
            os.killpg(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            return bool(process.stdout.read() == "")

    def alive(self, group: int) -> list[int]:
        """The processes of a group, less those that only wait to be reaped."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, build: Builder) -> list[ArchivePair]:
    """A pair and a later version of it: some members changed, some are gone, some new."""
    rng = random.Random(0)
    wavs = {f"{n:04}_1.wav": rng.randbytes(50_000) for n in range(80)}
    labels = {f"{n:04}_1.json": rng.randbytes(400) * 5 for n in range(800)}
    folder = tmp_path_factory.mktemp("landing")
    old = build.pair(folder / "old", ARCHIVE, wavs, labels)
    wavs |= {f"{n:04}_1.wav": rng.randbytes(60_000) for n in range(60, 110)}
    labels |= {f"{n:04}_1.json": rng.randbytes(500) * 4 for n in range(500, 1000)}
    for n in range(30):
        del wavs[f"{n:04}_1.wav"], labels[f"{n:04}_1.json"]
    return [old, build.pair(folder / "new", ARCHIVE, wavs, labels)]


@pytest.fixture
def killed(tmp_path: Path, pairs: list[ArchivePair]) -> Killed:
    return Killed(tmp_path / "extract.py", pairs[1].audio.parts[0].parent)


@pytest.mark.slow
def test_kills_at_random_moments_leave_no_trace(tmp_path: Path, pairs: list[ArchivePair], killed: Killed) -> None:
    wanted = contents(extracted(tmp_path / "wanted", pairs[1]).folder)
    extracted(tmp_path / "old", pairs[0])
    (tmp_path / "fresh").mkdir()
    durations = {}
    for start in ("fresh", "old"):
        durations[start] = killed.duration_s(shutil.copytree(tmp_path / start, tmp_path / f"timed-{start}"))
    rng = random.Random(0)
    at_work = 0
    for kill in range(KILLS):
        start = ("fresh", "old")[kill % 2]
        root = shutil.copytree(tmp_path / start, tmp_path / str(kill))
        delay_s = durations[start] * (kill + rng.random()) / KILLS
        hit = killed.kill(root, delay_s)
        at_work += hit
        durations[start] = durations[start] if hit else delay_s  # the machine was busier when nothing disturbed it
        assert contents(extracted(root, pairs[1]).folder) == wanted
        shutil.rmtree(root)
    assert at_work >= KILLS // 2


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fresh", "old"])
@pytest.mark.parametrize("side", ["Wave", "Label"])
def test_a_kill_while_a_side_is_unpacked_leaves_no_trace(
    tmp_path: Path, pairs: list[ArchivePair], killed: Killed, start: str, side: str
) -> None:
    wanted = contents(extracted(tmp_path / "wanted", pairs[1]).folder)
    for attempt in range(20):
        root = tmp_path / str(attempt)
        root.mkdir()
        if start == "old":
            extracted(root, pairs[0])
        files = StoragePaths(root).archive(ARCHIVE)
        if killed.kill_during(root, side) and any((files.unpacking / side).glob("*")):
            break
    else:
        pytest.fail(f"no kill in 20 found {side} half unpacked")
    assert contents(extracted(root, pairs[1]).folder) == wanted


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(
    tmp_path: Path, pairs: list[ArchivePair], killed: Killed
) -> None:
    with killed.begun(tmp_path / "storage") as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(killed.alive(process.pid)) < 5 and time.monotonic() < deadline:  # itself, two helpers, two workers
            time.sleep(0.01)
        assert len(killed.alive(process.pid)) == 5
        os.kill(process.pid, signal.SIGKILL)
        while killed.alive(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert killed.alive(process.pid) == []
    wanted = contents(extracted(tmp_path / "wanted", pairs[1]).folder)
    assert contents(extracted(tmp_path / "storage", pairs[1]).folder) == wanted
