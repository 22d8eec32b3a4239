"""The utterances of one archive become `prosody.parquet`: one row of features each, in the order of the utterances."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.prosody.features import spoken_characters, utterance_features
from urgency_dagster.calls.prosody.schema import PROSODY_KEY, prosody_schema
from urgency_dagster.calls.segments import Recording, recording_segments
from urgency_dagster.calls.workers import ordered_map
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.writing import table_sink

BATCH_ROWS = 1024
"""Rows of the utterance table that are Python objects at a time; an archive may hold 10^5."""

AUDIO_S_PER_WORKER = 1800
"""Seconds of audio for which one more process is started. Importing librosa takes it as long as 1,000 s of audio."""

Row = dict[str, Any]


@dataclass(frozen=True)
class CallUtterances:
    """The rows of the utterance table of one call, and where its recording is."""

    recording: Path
    rows: list[Row]


@dataclass(frozen=True)
class ProsodySummary:
    """What was analysed.

    Attributes:
        utterances: rows of the table.
        calls: recordings that were decoded.
        audio_s: seconds of audio of all rows.
        without_f0: utterances without a voiced frame.
    """

    utterances: int
    calls: int
    audio_s: float
    without_f0: int


def write_prosody(
    paths: StoragePaths, archive: str, config: ProsodyConfig, progress: Progress = no_progress
) -> ProsodySummary:
    """Writes `prosody.parquet`: the features of each row of `utterances.parquet`, in its order.

    The table holds no text. The number of workers does not change it.

    Args:
        paths: the storage root.
        archive: the archive.
        config: the range of f0, the rule of voicing, and the workers.
        progress: receives the number of finished utterances.

    Raises:
        ArtefactError: the archive has no utterance table.
        AudioError: a recording is missing, unreadable, or shorter than its utterances.
    """
    files = paths.archive(archive)
    if not files.utterances.is_file():
        raise ArtefactError(f"{archive} has no utterances.parquet", "an utterance table", "materialize utterances")
    audio_s = _audio_s(files.utterances)
    total = pq.read_metadata(files.utterances).num_rows
    calls = _calls(files.utterances, paths.root)
    analysed = ordered_map(partial(call_features, config=config), calls, _workers(config.workers, audio_s))
    done = count = without_f0 = 0
    with table_sink(files.prosody, prosody_schema(config)) as sink:
        for rows in analysed:
            sink.add(rows)
            count += 1
            done += len(rows)
            without_f0 += sum(row["f0_median_hz"] is None for row in rows)
            progress(done, total)
    return ProsodySummary(total, count, round(audio_s, 3), without_f0)


def _audio_s(utterances: Path) -> float:
    return float(pc.sum(pq.read_table(utterances, columns=["duration_s"])["duration_s"]).as_py() or 0.0)


def _workers(allowed: int, audio_s: float) -> int:
    """The number of processes: no more than `allowed` (-1 is one per core), and fewer for a short archive."""
    available = allowed if allowed > 0 else os.cpu_count() or 1
    return max(1, min(available, int(audio_s / AUDIO_S_PER_WORKER)))


def _calls(utterances: Path, root: Path) -> Iterator[CallUtterances]:
    """The rows of each call, which follow each other in the utterance table."""
    columns = [*PROSODY_KEY, "wav_file_path", "text", "duration_s"]
    batches = pq.ParquetFile(utterances).iter_batches(BATCH_ROWS, columns=columns)
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    for path, of_call in groupby(rows, key=itemgetter("wav_file_path")):
        yield CallUtterances(root / path, list(of_call))


def call_features(call: CallUtterances, config: ProsodyConfig) -> list[Row]:
    """The rows of `prosody.parquet` of one call, whose recording is decoded once.

    Raises:
        AudioError: the recording is missing, unreadable, or shorter than its utterances.
    """
    times_ms = [(row["startAt"], row["endAt"]) for row in call.rows]
    segments = recording_segments(Recording(call.recording, times_ms))
    return [
        {
            **{name: row[name] for name in (*PROSODY_KEY, "duration_s")},
            **utterance_features(segment, config),
            "speaking_rate_chars_per_s": spoken_characters(row["text"]) / row["duration_s"],
        }
        for row, segment in zip(call.rows, segments, strict=True)
    ]
