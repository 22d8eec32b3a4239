"""The scored calls of an archive: one row per call, from the rows of its utterances."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring.archive import BATCH_ROWS, write_table_csv
from urgency_dagster.scoring.tables import SCORED_CALLS, SCORED_UTTERANCES
from urgency_dagster.writing import table_sink

OF_CALL = "call_"
"""The start of the columns of an utterance that are the answer for its call."""

CALL_SOURCES = {
    name: OF_CALL + name if OF_CALL + name in SCORED_UTTERANCES.names else name
    for name in SCORED_CALLS.names
    if name != "utterances"
}
"""The column of SCORED_UTTERANCES that each column of SCORED_CALLS is copied from."""


def write_scored_calls(paths: StoragePaths, archive: str) -> None:
    """Writes `scored_calls.parquet` and `scored_calls.csv` of an archive.

    Args:
        paths: the storage root.
        archive: the name of the archive.

    Raises:
        ArtefactError: the archive has no scored utterances.
    """
    files = paths.scoring(archive)
    if not files.utterances.is_file():
        raise ArtefactError(f"{archive} has no {files.utterances.name}", "it", "materialize scored_utterances")
    with table_sink(files.calls, SCORED_CALLS) as sink:
        for _, group in groupby(_rows(pq.ParquetFile(files.utterances)), key=itemgetter("file")):
            utterances = list(group)
            row = {name: utterances[0][source] for name, source in CALL_SOURCES.items()}
            sink.add([{**row, "utterances": len(utterances)}])
    write_table_csv(files, files.calls)


def _rows(table: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    """Yields the rows without text."""
    for batch in table.iter_batches(BATCH_ROWS, columns=sorted({*CALL_SOURCES.values()})):
        yield from batch.to_pylist()
