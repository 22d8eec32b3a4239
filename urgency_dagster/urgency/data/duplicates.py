"""Calls that are in two archives; a split could put them on both sides. Nothing is removed here."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.paths import StoragePaths

KEYS = ["archive", "_id", "audio_sha256"]


@dataclass(frozen=True)
class SharedCalls:
    """Calls that occur more than once.

    Attributes:
        ids: call ids that are in more than one archive.
        recordings: recordings that are in more than one archive, under any id.
        recordings_within: recordings that belong to two calls of one archive.
        archives: archives that share an id or a recording with another one, sorted.
    """

    ids: int
    recordings: int
    recordings_within: int
    archives: tuple[str, ...]


def find_shared_calls(paths: StoragePaths, archives: Sequence[str]) -> SharedCalls:
    """Counts ids and recordings that are in more than one of some archives.

    Silent recordings are left out, because all silent recordings of one length are equal.
    """
    calls = pa.concat_tables([_calls(paths, archive) for archive in archives])
    ids = _in_two_archives(calls, "_id")
    audible = calls.filter(pc.invert(calls["silent_all"]))
    recordings = _in_two_archives(audible, "audio_sha256")
    sharing = [
        calls.filter(pc.is_in(calls["_id"], ids)),
        audible.filter(pc.is_in(audible["audio_sha256"], recordings)),
    ]
    within = audible.group_by(["archive", "audio_sha256"]).aggregate([("_id", "count_distinct")])
    return SharedCalls(
        ids=len(ids),
        recordings=len(recordings),
        recordings_within=pc.sum(pc.greater(within["_id_count_distinct"], 1)).as_py() or 0,
        archives=tuple(sorted(set(pa.concat_tables(sharing)["archive"].to_pylist()))),
    )


def _calls(paths: StoragePaths, archive: str) -> pa.Table:
    """One row per call of an archive: id, recording, and whether all utterances are silent."""
    rows = pq.read_table(paths.archive(archive).utterances, columns=[*KEYS, "silent"])
    return rows.group_by(KEYS).aggregate([("silent", "all")])


def _in_two_archives(calls: pa.Table, column: str) -> pa.Array:
    archives = calls.group_by(column).aggregate([("archive", "count_distinct")])
    return archives.filter(pc.greater(archives["archive_count_distinct"], 1))[column].combine_chunks()
