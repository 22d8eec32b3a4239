"""Rows of the utterance table become segments of audio: each recording is decoded once, in row order.

How a recording is decoded is in `audio`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from urgency_dagster.calls.audio import cut, load_waveform
from urgency_dagster.calls.workers import ordered_map

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Recording:
    """A recording and the times in ms of its utterances, in row order."""

    path: Path
    times_ms: list[tuple[int, int]]


def recording_segments(recording: Recording) -> "list[np.ndarray]":
    """The segments of one recording, which is decoded and resampled once; each mono float32 at 16 kHz.

    Raises:
        AudioError: see `audio.decode`.
    """
    waveform = load_waveform(recording.path)
    return [cut(waveform, start_ms, end_ms) for start_ms, end_ms in recording.times_ms]


def recordings_of(rows: pa.Table, root: Path) -> list[Recording]:
    """The recordings that some rows need, in the order of the rows; the rows of one call follow each other.

    Args:
        rows: some of the utterance table, with `wav_file_path`, `startAt` and `endAt`.
        root: the storage root.
    """
    times: dict[str, list[tuple[int, int]]] = {}
    for row in rows.select(["wav_file_path", "startAt", "endAt"]).to_pylist():
        times.setdefault(row["wav_file_path"], []).append((row["startAt"], row["endAt"]))
    return [Recording(root / path, of_path) for path, of_path in times.items()]


def decoded_pieces(pieces: list[pa.Table], root: Path, workers: int) -> "Iterator[list[np.ndarray]]":
    """The segments of each piece of the utterance table, while worker processes decode ahead.

    Args:
        pieces: whole calls each, see `whole_calls`.
        root: the storage root.
        workers: processes; see `workers.ordered_map`.

    Raises:
        AudioError: a recording is gone or changed since its rows were made.
    """
    wanted = (recording for piece in pieces for recording in recordings_of(piece, root))
    decoded = ordered_map(recording_segments, wanted, workers)
    for piece in pieces:
        segments: list[np.ndarray] = []
        while len(segments) < piece.num_rows:
            segments += next(decoded)
        yield segments


def whole_calls(rows: pa.Table, max_rows: int) -> Iterator[pa.Table]:
    """The rows in slices of about `max_rows` that end between two calls."""
    if not rows.num_rows:
        return
    ids = rows["_id"]
    ends = pc.not_equal(ids.slice(0, rows.num_rows - 1), ids.slice(1)).to_numpy().nonzero()[0] + 1
    start = 0
    for end in (*ends.tolist(), rows.num_rows):
        if end - start >= max_rows or end == rows.num_rows:
            yield rows.slice(start, end - start)
            start = end
