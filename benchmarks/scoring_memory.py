"""Peak memory of scoring recordings with labels by tiny models: few and many calls, a short and a long call.

The turns of every call have other lengths, as in reality: a library that keeps something for each length shows here.
"""

import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.decode import CALL_RATE_HZ, DecodeSize, write_recordings
from benchmarks.memory import label_of, peak_bytes
from benchmarks.scoring_models import ModelFiles, write_models
from urgency_dagster import scoring
from urgency_dagster.calls.segments import Recording
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.operations.environment import prepare_process
from urgency_dagster.paths import StoragePaths

ARCHIVE = "bench"

RECORDINGS = DecodeSize(calls=10, call_s=8.0, utterances=3)
"""The recordings, each of which is used for many calls."""

TURN_MS = range(500, 1_500)
"""Lengths of the turns."""

TURNS_PER_MINUTE = 20
"""Turns of a long call."""

CODE = "import sys; from benchmarks.scoring_memory import score; score(sys.argv[1])"

Figures = dict[str, float]
"""Figures by name."""


@dataclass(frozen=True)
class MemorySize:
    """The recordings that are compared.

    Attributes:
        few: calls of the smaller archive. The libraries are warm after some ten calls.
        many: calls of the larger archive.
        short: minutes of the shorter of two long calls.
        long: minutes of the longer one.
    """

    few: int = 100
    many: int = 2_000
    short: int = 10
    long: int = 180


def memory_of_scoring(size: MemorySize, folder: Path) -> Figures:
    """The peak memory in MB of both archives and of both long calls, and the ratios.

    Raises:
        BenchmarkError: the process fails, or a call has no answer.
    """
    of_archives = _growth("calls", write_calls, size.few, size.many, folder)
    return of_archives | _growth("minutes", write_long_call, size.short, size.long, folder)


def _growth(unit: str, write: Callable[[StoragePaths, int], int], small: int, large: int, folder: Path) -> Figures:
    peaks = {amount: peak_of_scoring(write, amount, folder / f"{amount}_{unit}") for amount in (small, large)}
    megabytes = {f"score_{amount}_{unit}_mb": round(peak / 1e6, 1) for amount, peak in peaks.items()}
    return {**megabytes, f"{unit}_ratio": round(peaks[large] / peaks[small], 3)}


def peak_of_scoring(write: Callable[[StoragePaths, int], int], amount: int, root: Path) -> int:
    """The peak memory in bytes of the steps from landed recordings to scored calls, in a process of their own.

    Args:
        write: `write_calls` or `write_long_call`.
        amount: its calls or minutes.
        root: the storage root.

    Raises:
        BenchmarkError: the process fails, or a call has no answer.
    """
    paths = StoragePaths(root)
    calls = write(paths, amount)
    peak = peak_bytes([sys.executable, "-c", CODE, root])
    scored = pq.read_metadata(paths.scoring(ARCHIVE).calls).num_rows
    if scored != calls:
        raise BenchmarkError(f"{scored} scored calls", f"all {calls}", "correct `scoring`")
    return peak


def write_calls(paths: StoragePaths, calls: int) -> int:
    """Writes the models, and an archive of recordings and labels that has landed; returns the number of calls.

    Recordings are hard links.
    """
    landed = _landed(paths)
    recordings = write_recordings(paths.root, RECORDINGS)
    for call in range(calls):
        recording = with_other_times(recordings[call % len(recordings)], call)
        os.link(recording.path, landed / f"{_stem(call)}.wav")
        _write_label(landed, call, recording)
    return calls


def write_long_call(paths: StoragePaths, minutes: int) -> int:
    """Writes the models, and an archive with one call of noise that has landed; returns the number of calls, 1."""
    import numpy as np
    import soundfile

    path = _landed(paths) / f"{_stem(0)}.wav"
    minute = np.random.default_rng(0).normal(0, 0.1, 60 * CALL_RATE_HZ)
    with soundfile.SoundFile(path, "w", CALL_RATE_HZ, channels=1, subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)
    rng = random.Random(0)  # noqa: S311 - times, not secrets
    starts = range(0, minutes * 60_000, 60_000 // TURNS_PER_MINUTE)
    _write_label(path.parent, 0, Recording(path, [(start, start + rng.choice(TURN_MS)) for start in starts]))
    return 1


def _landed(paths: StoragePaths) -> Path:
    """Writes the models; returns the folder of the archive."""
    write_models(paths.root / "models")
    landed = paths.landing_scoring / ARCHIVE
    landed.mkdir(parents=True)
    return landed


def _write_label(folder: Path, call: int, recording: Recording) -> None:
    label = json.dumps(label_of(call, recording), ensure_ascii=False)
    (folder / f"{_stem(call)}.json").write_text(label, "utf-8")


def _stem(call: int) -> str:
    return f"{call:024x}_20230101"


def with_other_times(recording: Recording, call: int) -> Recording:
    """The recording with turns of random times, with lengths of TURN_MS."""
    rng = random.Random(call)  # noqa: S311 - times, not secrets
    last_ms = int(RECORDINGS.call_s * 1000) - TURN_MS.stop
    starts = sorted(rng.randrange(last_ms) for _ in recording.times_ms)
    return replace(recording, times_ms=[(start, start + rng.choice(TURN_MS)) for start in starts])


def score(root: str) -> None:
    """Scores the archive as a run does."""
    prepare_process()
    paths = StoragePaths(Path(root))
    archive = scoring.scan_scoring(paths.landing_scoring).archives[ARCHIVE]
    scoring.write_recordings(paths, archive)
    scoring.score_archive(paths, archive, ModelFiles(paths.root / "models").predictor("cpu"))
    scoring.write_scored_calls(paths, ARCHIVE)
