"""Rows of the utterance table become audio segments. Each recording is decoded once, in row order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from urgency_dagster.calls.audio import cut, load_waveform
from urgency_dagster.calls.workers import ordered_map, processes_for

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Recording:
    """A recording, and the intervals of its utterances.

    Attributes:
        path: the WAV file.
        times_ms: start and end of each utterance in ms, in row order.
    """

    path: Path
    times_ms: list[tuple[int, int]]


def recording_segments(recording: Recording) -> "list[np.ndarray]":
    """Decodes and resamples a recording once; returns its segments, each mono float32 at 16 kHz of shape (samples,).

    Raises:
        AudioError: see `audio.decode`.
    """
    waveform = load_waveform(recording.path)
    return [cut(waveform, start_ms, end_ms) for start_ms, end_ms in recording.times_ms]


def recordings_of(rows: pa.Table, root: Path) -> list[Recording]:
    """The recordings of some rows, in row order.

    Args:
        rows: rows of the utterance table, with `wav_file_path`, `startAt` and `endAt`; those of a call are consecutive.
        root: the storage root.
    """
    times: dict[str, list[tuple[int, int]]] = {}
    for row in rows.select(["wav_file_path", "startAt", "endAt"]).to_pylist():
        times.setdefault(row["wav_file_path"], []).append((row["startAt"], row["endAt"]))
    return [Recording(root / path, times_ms) for path, times_ms in times.items()]


def decoded_segments(tables: list[pa.Table], root: Path, workers: int) -> "Iterator[list[np.ndarray]]":
    """Yields the segments of each table, in row order. Worker processes decode the next recordings meanwhile.

    Args:
        tables: rows of the utterance table; a call must not be split over two tables, see `whole_calls`.
        root: the storage root.
        workers: processes; see `workers.processes_for`.

    Raises:
        AudioError: a recording is missing or has changed.
    """
    recordings = (recording for table in tables for recording in recordings_of(table, root))
    calls = sum(len(table["wav_file_path"].unique()) for table in tables)
    decoded = ordered_map(recording_segments, recordings, processes_for(calls, workers))
    for table in tables:
        segments: list[np.ndarray] = []
        while len(segments) < table.num_rows:
            segments += next(decoded)
        yield segments


def whole_calls(rows: pa.Table, max_rows: int) -> Iterator[pa.Table]:
    """Yields slices of about `max_rows` rows that end between two calls. Only a long call makes a slice longer."""
    if not rows.num_rows:
        return
    ids = rows["_id"]
    ends = pc.not_equal(ids.slice(0, rows.num_rows - 1), ids.slice(1)).to_numpy().nonzero()[0] + 1
    start = 0
    for end in (*ends.tolist(), rows.num_rows):
        if end - start >= max_rows or end == rows.num_rows:
            yield rows.slice(start, end - start)
            start = end
