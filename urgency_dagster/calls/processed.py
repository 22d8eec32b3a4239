"""The two files of the original pipeline: a CSV of utterances, and an array of vectors with the same row order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS, file_metadata
from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import ArchivePaths, StoragePaths
from urgency_dagster.tables import EMBEDDING, UTTERANCE_KEY, original_schema
from urgency_dagster.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

BATCH_ROWS = 4096
"""Vectors in memory at a time."""


class ProcessedConfig(Configuration):
    """Which files `processed_data` writes beside the CSV and the NPY file."""

    parquet: bool = False
    """Write `processed_data.parquet` too: the ten columns of the original's table, with the vector as a column. It
    takes as much disk as the NPY file."""


DEFAULT = ProcessedConfig()


def write_processed_data(paths: StoragePaths, archive: str, config: ProcessedConfig = DEFAULT) -> dict[str, int]:
    """Writes `processed_data.csv` (UTF-8 with BOM), `wav2vec2_embeddings.npy` and, if asked, `processed_data.parquet`.

    The array is float32 of shape (N, D), or (N, T, D) with T > 1 vectors per utterance.

    Args:
        paths: the storage root.
        archive: the archive name.
        config: the options.

    Returns:
        `rows`, the vector dimension `width`, and `audio_tokens`, the vectors per utterance.

    Raises:
        ArtefactError: see `read_rows`.
    """
    files = paths.archive(archive)
    utterances, embeddings = read_rows(paths, archive)
    with replacing(files.vectors) as temporary:
        rows, *tokens, width = write_vectors([embeddings], temporary)
    with replacing(files.processed_csv) as temporary:
        write_csv(temporary, [utterances])
    files.processed_parquet.unlink(missing_ok=True)
    if config.parquet:
        with original_writer(files.processed_parquet, vector_values(embeddings)) as writer:
            add_original_rows(writer, utterances, embeddings)
    return {"rows": rows, "width": width, "audio_tokens": tokens[0] if tokens else 1}


def read_rows(paths: StoragePaths, archive: str) -> tuple[pa.Table, pq.ParquetFile]:
    """The utterance table of an archive, and the file of its vectors in the same order.

    Raises:
        ArtefactError: a table is missing, or the keys of both are not equal row by row.
    """
    files = paths.archive(archive)
    _check_present(files, archive)
    utterances, embeddings = pq.read_table(files.utterances), pq.ParquetFile(files.embeddings)
    _check_same_rows(utterances, embeddings, archive)
    return utterances, embeddings


def write_csv(target: "Path", tables: Iterable[pa.Table]) -> None:
    """Writes tables, one after another, as one CSV: UTF-8 with BOM, one header."""
    with target.open("w", encoding="utf-8-sig", newline="") as stream:
        for number, table in enumerate(tables):
            # Integers stay Python integers: as NumPy floats, one null speaker would turn 1 into 1.0 in all rows.
            rows = table.to_pandas(integer_object_nulls=True)
            # With "\n" as line end, pandas would not quote a "\r" inside a text, and readers would end the row there.
            rows.to_csv(stream, index=False, header=number == 0, lineterminator="\r\n")


@contextmanager
def original_writer(target: "Path", width: int) -> Iterator[pq.ParquetWriter]:
    """Yields a writer of a table with the schema `original_schema(width)`. The file exists after the block succeeds."""
    with (
        replacing(target) as temporary,
        pq.ParquetWriter(temporary, original_schema(width), compression="zstd") as writer,
    ):
        yield writer


def add_original_rows(writer: pq.ParquetWriter, utterances: pa.Table, embeddings: pq.ParquetFile) -> None:
    """Appends the rows of an archive with their vectors.

    Args:
        writer: see `original_writer`.
        utterances: the utterance table.
        embeddings: the vectors, in the same order.
    """
    start, schema = 0, writer.schema
    for batch in embeddings.iter_batches(batch_size=BATCH_ROWS, columns=[EMBEDDING]):
        rows = utterances.slice(start, batch.num_rows)
        rows = rows.append_column(EMBEDDING, batch.column(0)).select(schema.names)
        writer.write_table(rows.cast(schema))
        start += batch.num_rows


def vector_values(embeddings: pq.ParquetFile) -> int:
    """The float32 values of a row: the vectors of an utterance, one after another."""
    return int(embeddings.schema_arrow.field(EMBEDDING).type.list_size)


def _check_present(files: ArchivePaths, archive: str) -> None:
    for path, asset in ((files.utterances, "utterances"), (files.embeddings, "utterance_embeddings")):
        if not path.is_file():
            raise ArtefactError(f"{archive} has no {path.name}", "both tables", f"materialize {asset}")


def _check_same_rows(utterances: pa.Table, embeddings: pq.ParquetFile, archive: str) -> None:
    key = list(UTTERANCE_KEY)
    if not utterances.select(key).equals(embeddings.read(columns=key)):
        raise ArtefactError(
            f"the vectors of {archive} do not belong to its utterance table",
            "the same keys in the same order",
            "materialize utterance_embeddings again",
        )


def write_vectors(sources: Sequence[pq.ParquetFile], target: "Path") -> tuple[int, ...]:
    """Copies the vectors of some files, one after another, to an NPY file in batches; returns its shape.

    Args:
        sources: files with vectors of one shape.
        target: the NPY file: float32 of shape (N, D), or (N, T, D) with T > 1.
    """
    import numpy as np

    shapes = [_shape(source) for source in sources]
    shape = (sum(rows for rows, *_ in shapes), *shapes[0][1:])
    if not shape[0]:
        with target.open("wb") as stream:
            np.save(stream, np.empty(shape, dtype=np.float32))
        return shape
    matrix = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for source in sources:
        for batch in source.iter_batches(batch_size=BATCH_ROWS, columns=[EMBEDDING]):
            vectors = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape[1:])
            matrix[start : start + len(vectors)] = vectors
            start += len(vectors)
    matrix.flush()
    return shape


def _shape(source: pq.ParquetFile) -> tuple[int, ...]:
    rows, width = source.metadata.num_rows, source.schema_arrow.field(EMBEDDING).type.list_size
    tokens = int(file_metadata(source)[AUDIO_TOKENS.encode()])
    return (rows, width) if tokens == 1 else (rows, tokens, width // tokens)
