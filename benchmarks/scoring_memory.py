"""Peak memory of scoring a small and a large archive of recordings with labels, by tiny models.

The turns of every call have other lengths, as in reality: a library that keeps something for each length shows here.
"""

import json
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.decode import DecodeSize, write_recordings
from benchmarks.memory import label_of, peak_bytes
from benchmarks.scoring_models import ModelFiles, write_models
from urgency_dagster import scoring
from urgency_dagster.calls.segments import Recording
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths

ARCHIVE = "bench"

RECORDINGS = DecodeSize(calls=10, call_s=8.0, utterances=3)
"""The recordings, each of which is used for many calls."""

TURN_MS = range(500, 1_500)
"""Lengths of the turns."""

CODE = "import sys; from benchmarks.scoring_memory import score; score(sys.argv[1])"


def memory_of_scoring(few: int, many: int, folder: Path) -> dict[str, float]:
    """The peak memory in MB for `few` and for `many` calls, and the ratio of both.

    Raises:
        BenchmarkError: the process fails, or a call has no answer.
    """
    peaks = {calls: peak_of_scoring(calls, folder / f"{calls}_calls") for calls in (few, many)}
    megabytes = {f"score_{calls}_calls_mb": round(peak / 1e6, 1) for calls, peak in peaks.items()}
    return {**megabytes, "score_ratio": round(peaks[many] / peaks[few], 3)}


def peak_of_scoring(calls: int, root: Path) -> int:
    """The peak memory in bytes of the steps from landed recordings to scored calls, in a process of their own.

    Raises:
        BenchmarkError: the process fails, or a call has no answer.
    """
    paths = StoragePaths(root)
    write_landed(paths, calls)
    peak = peak_bytes([sys.executable, "-c", CODE, root])
    scored = pq.read_metadata(paths.scoring(ARCHIVE).calls).num_rows
    if scored != calls:
        raise BenchmarkError(f"{scored} scored calls", f"all {calls}", "correct `scoring`")
    return peak


def write_landed(paths: StoragePaths, calls: int) -> None:
    """Writes the models, and an archive of recordings and labels that has landed. Recordings are hard links."""
    write_models(paths.root / "models")
    landed = paths.landing_scoring / ARCHIVE
    landed.mkdir(parents=True)
    recordings = write_recordings(paths.root, RECORDINGS)
    for call in range(calls):
        recording = with_other_times(recordings[call % len(recordings)], call)
        stem = f"{call:024x}_20230101"
        os.link(recording.path, landed / f"{stem}.wav")
        (landed / f"{stem}.json").write_text(json.dumps(label_of(call, recording), ensure_ascii=False), "utf-8")


def with_other_times(recording: Recording, call: int) -> Recording:
    """The recording with turns of random times, with lengths of TURN_MS."""
    rng = random.Random(call)  # noqa: S311 - times, not secrets
    last_ms = int(RECORDINGS.call_s * 1000) - TURN_MS.stop
    starts = sorted(rng.randrange(last_ms) for _ in recording.times_ms)
    return replace(recording, times_ms=[(start, start + rng.choice(TURN_MS)) for start in starts])


def score(root: str) -> None:
    """Scores the archive as a run does."""
    paths = StoragePaths(Path(root))
    archive = scoring.scan_scoring(paths.landing_scoring).archives[ARCHIVE]
    scoring.write_recordings(paths, archive)
    scoring.score_archive(paths, archive, ModelFiles(paths.root / "models").predictor("cpu"))
    scoring.write_scored_calls(paths, ARCHIVE)
