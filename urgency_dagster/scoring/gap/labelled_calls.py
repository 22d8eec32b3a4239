"""Held-out calls with their recording and the utterances of their label, one after another."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.listening import Turn
from urgency_dagster.paths import StoragePaths

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1024
"""Rows of a table as Python objects at a time."""


@dataclass(frozen=True)
class LabelledCall:
    """One call of a held-out set.

    Attributes:
        recording: its file.
        urgency: class id of its urgency.
        sentiment: class id of its sentiment.
        utterances: the utterances of its label, in the order of time.
        stored: for a call of the validation side the logits of each utterance in `predictions.parquet`, by task.
    """

    recording: Path
    urgency: int
    sentiment: int
    utterances: tuple[Turn, ...] = field(repr=False)
    stored: dict[str, list[list[float]]] = field(default_factory=dict, repr=False)


def labelled_calls(paths: StoragePaths, rows: "pa.Table") -> Iterator[LabelledCall]:
    """Yields the calls of some rows of the training set, in their order.

    Args:
        paths: the storage root, for the utterance tables of the archives.
        rows: columns of `urgency.TRAINING_ROWS`, and the logits of the validation side. Those of a call are consecutive
            and in the order of time.

    Raises:
        ArtefactError: an archive has no utterance table, or it lacks a call.
    """
    for archive, of_archive in groupby(_dicts(rows), key=itemgetter("archive")):
        recordings = _recordings(paths, archive)
        for call, utterances in groupby(of_archive, key=itemgetter("_id")):
            if call not in recordings:
                raise _no_recordings(archive)
            yield _call(recordings[call], list(utterances))


def _dicts(rows: "pa.Table") -> Iterator[dict[str, Any]]:
    for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _recordings(paths: StoragePaths, archive: str) -> dict[str, Path]:
    """The recording of each call of an archive."""
    source = paths.archive(archive).utterances
    if not source.is_file():
        raise _no_recordings(archive)
    table = pq.read_table(source, columns=["_id", "wav_file_path"])
    first = table.group_by("_id").aggregate([("wav_file_path", "min")])
    files = (paths.root / path for path in first["wav_file_path_min"].to_pylist())
    return dict(zip(first["_id"].to_pylist(), files, strict=True))


def _no_recordings(archive: str) -> ArtefactError:
    return ArtefactError(
        f"the utterance table of {archive} does not name the recordings of its calls",
        "the table that the training set was made of",
        "materialize utterances and training_set again",
    )


def _call(recording: Path, rows: list[dict[str, Any]]) -> LabelledCall:
    first = rows[0]
    logits = [name for name in ("urgency_logits", "sentiment_logits") if name in first]
    return LabelledCall(
        recording,
        first["urgency_id"],
        first["sentiment_id"],
        tuple(Turn(row["startAt"], row["endAt"], row["text"]) for row in rows),
        {name.removesuffix("_logits"): [row[name] for row in rows] for name in logits},
    )
