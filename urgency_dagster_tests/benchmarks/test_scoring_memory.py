import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.scoring_memory import (
    ARCHIVE,
    TURN_MS,
    MemorySize,
    memory_of_scoring,
    score,
    write_calls,
    write_long_call,
)
from urgency_dagster.paths import StoragePaths

MAX_GROWTH_MB = 15
"""Measured: 3 MB. With the caches of torch and oneDNN as they come: 88 MB."""

TURNS, WARM_TURNS = 600, 60

LISTEN = f"""
import sys
from pathlib import Path

from urgency_dagster.operations.environment import prepare_process

prepare_process()

import numpy as np
import psutil

from benchmarks.scoring_models import ModelFiles

embed = ModelFiles(Path(sys.argv[1])).predictor("cpu").listener.encoder.embed
noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
for turn in range({TURNS}):
    embed([noise[: 8_000 + 25 * (turn * 7 % {TURNS})]])
    if turn == {WARM_TURNS}:
        warm = psutil.Process().memory_info().rss
print(psutil.Process().memory_info().rss - warm)
"""
"""Embeds turns, each of another length, and prints by how many bytes the process grew after the first ones."""


@pytest.mark.parametrize(
    ("write", "amount", "calls", "turns"), [(write_calls, 12, 12, 36), (write_long_call, 2, 1, 40)]
)
def test_every_call_is_scored_and_has_turns_of_other_lengths(
    paths: StoragePaths, write: Callable[[StoragePaths, int], int], amount: int, calls: int, turns: int
) -> None:
    assert write(paths, amount) == calls
    score(str(paths.root))
    files = paths.scoring(ARCHIVE)
    rows = pq.read_table(files.utterances).to_pylist()
    lengths = [row["end_ms"] - row["start_ms"] for row in rows]
    assert len(rows) == turns
    assert len(set(lengths)) > turns * 0.8
    assert all(length in TURN_MS for length in lengths)
    assert pq.read_metadata(files.calls).num_rows == calls
    assert pq.read_metadata(files.rejects).num_rows == 0


@pytest.mark.slow
def test_archives_and_long_calls_are_measured(tmp_path: Path) -> None:
    found = memory_of_scoring(MemorySize(2, 4, 1, 2), tmp_path)
    peaks = ["score_2_calls_mb", "score_4_calls_mb", "score_1_minutes_mb", "score_2_minutes_mb"]
    assert sorted(found) == sorted([*peaks, "calls_ratio", "minutes_ratio"])
    assert all(100 < found[name] < 3000 for name in peaks)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_lengths_of_turns(paths: StoragePaths) -> None:
    """By default torch and oneDNN keep an operation for each length. They read their limits when a process starts."""
    write_calls(paths, 1)
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, paths.root / "models"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < MAX_GROWTH_MB * 1e6
