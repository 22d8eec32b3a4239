"""The same call in two archives, which would put it on both sides of a split. Nothing is removed here."""

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
        recordings: recordings that are in more than one archive, under whatever id.
        recordings_within: recordings that two calls of one archive share.
        archives: the archives that share an id or a recording with another, sorted.
    """

    ids: int
    recordings: int
    recordings_within: int
    archives: tuple[str, ...]


def find_shared_calls(paths: StoragePaths, archives: Sequence[str]) -> SharedCalls:
    """Compares the kept calls of some archives.

    A recording in which nothing is to be heard is no evidence: all silent recordings of one length are alike.
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
    """One row per kept call of an archive: its id, its recording, and whether all of its utterances are silent."""
    rows = pq.read_table(paths.archive(archive).utterances, columns=[*KEYS, "silent"])
    return rows.group_by(KEYS).aggregate([("silent", "all")])


def _in_two_archives(calls: pa.Table, column: str) -> pa.Array:
    archives = calls.group_by(column).aggregate([("archive", "count_distinct")])
    return archives.filter(pc.greater(archives["archive_count_distinct"], 1))[column].combine_chunks()
