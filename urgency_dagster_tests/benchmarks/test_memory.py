import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.decode import DecodeSize, write_recordings
from benchmarks.memory import (
    ARCHIVE,
    STEPS,
    check_complete,
    cut_segments,
    embed,
    make_table,
    peak_bytes,
    write_extracted,
)
from urgency_dagster.calls.tables import MEMBERS
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths

MAX_GROWTH = 1.2

MAP_60_MB = """
import mmap, sys, time
with open(sys.argv[1]) as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(mapped[::4096])
    time.sleep(0.5)
"""

HOLD_60_MB = "import time; held = bytearray(60_000_000); time.sleep(0.5)"


@pytest.fixture
def recordings(tmp_path: Path) -> Any:
    """Calls of two seconds."""
    return write_recordings(tmp_path, DecodeSize(calls=3, call_s=2.0, utterances=3))


def table_peak(paths: StoragePaths, recordings: Any, calls: int) -> int:
    write_extracted(paths, recordings, calls)
    return peak_bytes([sys.executable, "-c", f"import sys; {STEPS['table']}", str(paths.root)])


@pytest.mark.slow
def test_the_table_of_many_calls_needs_as_much_memory_as_that_of_few(tmp_path: Path, recordings: Any) -> None:
    few, many = (table_peak(StoragePaths(tmp_path / str(calls)), recordings, calls) for calls in (200, 4000))
    assert pq.read_metadata(StoragePaths(tmp_path / "4000").archive(ARCHIVE).utterances).num_rows == 12_000
    assert many < MAX_GROWTH * few


def test_the_archive_is_as_the_extraction_leaves_it(paths: StoragePaths, recordings: Any) -> None:
    assert write_extracted(paths, recordings, 7) == 21
    files = paths.archive(ARCHIVE)
    members = pq.read_table(files.members)
    assert members.schema.equals(MEMBERS)
    for kind, folder in (("audio", files.audio), ("label", files.labels)):
        listed = [row["path"] for row in members.to_pylist() if row["kind"] == kind]
        assert len(listed) == 7
        assert sorted(path.name for path in folder.iterdir()) == sorted(listed)
    assert {path.stat().st_ino for path in files.audio.iterdir()} == {r.path.stat().st_ino for r in recordings}


@pytest.mark.slow
def test_every_utterance_gets_a_row_and_a_segment(paths: StoragePaths, recordings: Any) -> None:
    utterances = write_extracted(paths, recordings, 5)
    make_table(str(paths.root))
    cut_segments(str(paths.root))
    check_complete(paths, utterances)
    assert pq.read_metadata(paths.archive(ARCHIVE).rejects).num_rows == 0
    with pytest.raises(BenchmarkError, match=r"15 utterances in utterances\.parquet; expected all 16"):
        check_complete(paths, 16)


@pytest.mark.slow
def test_the_whole_step_embeds_every_utterance(paths: StoragePaths, recordings: Any) -> None:
    utterances = write_extracted(paths, recordings, 5)
    make_table(str(paths.root))
    check_complete(paths, utterances, embedded=False)
    embed(str(paths.root))
    check_complete(paths, utterances)


@pytest.mark.slow
def test_memory_of_the_process_is_counted() -> None:
    plain = peak_bytes([sys.executable, "-c", "import time; time.sleep(0.5)"])
    holding = peak_bytes([sys.executable, "-c", HOLD_60_MB])
    assert 55e6 < holding - plain < 70e6


@pytest.mark.slow
def test_memory_of_all_processes_that_live_is_added_up() -> None:
    run_child = "import subprocess, sys; run = lambda code: subprocess.run([sys.executable, '-c', code]); run({!r})"
    child = run_child.format(HOLD_60_MB)
    with_child = peak_bytes([sys.executable, "-c", f"{HOLD_60_MB}; {child}"])
    with_grandchild = peak_bytes([sys.executable, "-c", f"{HOLD_60_MB}; {run_child.format(child)}"])
    two_in_turn = peak_bytes([sys.executable, "-c", f"{HOLD_60_MB}; {child}; run({HOLD_60_MB!r})"])
    assert 125e6 < with_child < 170e6
    assert 125e6 < with_grandchild < 180e6
    assert abs(two_in_turn - with_child) < 15e6


@pytest.mark.slow
def test_it_waits_for_the_end() -> None:
    start = time.monotonic()
    peak_bytes([sys.executable, "-c", "import time; time.sleep(0.4)"])
    assert time.monotonic() - start > 0.4


@pytest.mark.slow
def test_a_process_that_fails_says_so() -> None:
    with pytest.raises(BenchmarkError, match=r"ended with 1 \(no such thing\)"):
        peak_bytes([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells pages of files from others")
def test_pages_of_files_count_only_when_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(60_000_000))
    command = [sys.executable, "-c", MAP_60_MB, str(tmp_path / "zeros")]
    assert peak_bytes(command) - peak_bytes(command, with_files=False) > 55_000_000
