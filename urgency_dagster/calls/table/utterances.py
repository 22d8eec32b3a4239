"""The extracted members of an archive become the utterance table and the reject table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls.table.rows import CallFiles, CallRows, call_rows
from urgency_dagster.calls.tables import REJECTS
from urgency_dagster.calls.workers import ordered_map, processes_for
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import ArchivePaths, StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.tables import UTTERANCES
from urgency_dagster.writing import table_sink

BATCH_ROWS = 1024
"""Members held as Python objects at a time. An archive can have 10^5 members."""


def build_utterance_table(
    paths: StoragePaths, archive: str, *, workers: int = -1, progress: Progress = no_progress
) -> dict[str, Any]:
    """Writes `utterances.parquet` and `rejects.parquet` of one archive.

    Args:
        paths: the storage root.
        archive: the archive name.
        workers: processes that parse labels and decode recordings; 1 is this process, -1 see `processes_for`.
        progress: receives the number of finished calls.

    Returns:
        Counts of the input: `members`, `extracted` members, `calls` and `labelled` utterances. Counts of the result:
        `kept` utterances, `kept_calls`, and `rejects`, the rows of the reject table by reason.

    Raises:
        ArtefactError: the archive is not extracted.
    """
    files = paths.archive(archive)
    if not files.members.is_file():
        raise ArtefactError(f"{archive} has no members.parquet", "an extracted archive", "materialize call_recordings")
    members = pq.ParquetFile(files.members)
    extracted = _extracted_members(members)
    calls = pc.count_distinct(extracted["call_id"]).as_py()
    read = partial(call_rows, archive=archive, root=paths.root)
    rows = ordered_map(read, _calls(extracted, files), processes_for(calls, workers))
    counts = _write(files, members, _reporting(rows, calls, progress))
    return {"members": members.metadata.num_rows, "extracted": extracted.num_rows, "calls": calls, **counts}


def _reporting(rows: Iterable[CallRows], total: int, progress: Progress) -> Iterator[CallRows]:
    for done, row in enumerate(rows, start=1):
        progress(done, total)
        yield row


def _extracted_members(members: pq.ParquetFile) -> pa.Table:
    """Kind, path and call id of the extracted members, sorted by call id."""
    table = members.read(columns=["kind", "path"])
    table = table.filter(pc.is_valid(table["path"]))
    call_ids = (_call_id(path) for batch in table["path"].chunks for path in batch.to_pylist())
    table = table.append_column("call_id", pa.array(call_ids, pa.string(), size=table.num_rows))
    return table.sort_by([(name, "ascending") for name in ("call_id", "kind", "path")])


def _call_id(path: str) -> str:
    """The stem of the file name up to its first `_`."""
    return Path(path).stem.partition("_")[0]


def _calls(extracted: pa.Table, files: ArchivePaths) -> Iterator[CallFiles]:
    """Yields the files of each call, sorted by call id."""
    rows = (row for batch in extracted.to_batches(BATCH_ROWS) for row in batch.to_pylist())
    for call_id, members in groupby(rows, key=itemgetter("call_id")):
        by_kind: dict[str, list[Path]] = {"audio": [], "label": []}
        for member in members:
            folder = files.audio if member["kind"] == "audio" else files.labels
            by_kind[member["kind"]].append(folder / member["path"])
        yield CallFiles(call_id, tuple(by_kind["label"]), tuple(by_kind["audio"]))


def _rejected_members(members: pq.ParquetFile) -> Iterator[list[dict[str, Any]]]:
    """Yields batches of reject rows of the members that were not extracted."""
    columns = ["archive", "member", "reason", "detail"]
    for batch in members.iter_batches(BATCH_ROWS, columns=columns):
        yield batch.filter(pc.is_valid(batch["reason"])).to_pylist()


def _write(files: ArchivePaths, members: pq.ParquetFile, calls: Iterable[CallRows]) -> dict[str, Any]:
    """Writes the rows of all calls to both tables as they arrive; returns the counts."""
    kept, labelled, kept_calls = 0, 0, 0
    reasons: Counter[str] = Counter()
    with ExitStack() as stack:
        utterance_sink = stack.enter_context(table_sink(files.utterances, UTTERANCES))
        reject_sink = stack.enter_context(table_sink(files.rejects, REJECTS))
        for rejects in _rejected_members(members):
            reject_sink.add(rejects)
            reasons.update(row["reason"] for row in rejects)
        for rows in calls:
            utterance_sink.add(rows.utterances)
            reject_sink.add(rows.rejects)
            reasons.update(row["reason"] for row in rows.rejects)
            kept, labelled = kept + len(rows.utterances), labelled + rows.labelled
            kept_calls += bool(rows.utterances)
    return {"labelled": labelled, "kept": kept, "kept_calls": kept_calls, "rejects": dict(sorted(reasons.items()))}
