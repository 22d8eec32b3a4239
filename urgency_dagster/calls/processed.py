"""The two files of the original pipeline: a CSV of utterances, and an array of vectors with the same row order."""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS, file_metadata
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import ArchivePaths, StoragePaths
from urgency_dagster.tables import EMBEDDING, UTTERANCE_KEY
from urgency_dagster.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

BATCH_ROWS = 4096
"""Vectors in memory at a time."""


def write_processed_data(paths: StoragePaths, archive: str) -> dict[str, int]:
    """Writes `processed_data.csv` (UTF-8 with BOM) and `wav2vec2_embeddings.npy`.

    The array is float32 of shape (N, D), or (N, T, D) with T > 1 vectors per utterance.

    Returns:
        `rows`, the vector dimension `width`, and `audio_tokens`, the vectors per utterance.

    Raises:
        ArtefactError: the keys of both tables are not equal row by row.
    """
    files = paths.archive(archive)
    _check_present(files, archive)
    utterances, embeddings = pq.read_table(files.utterances), pq.ParquetFile(files.embeddings)
    _check_same_rows(utterances, embeddings, archive)
    with replacing(files.vectors) as temporary:
        rows, *tokens, width = _write_vectors(embeddings, temporary)
    with replacing(files.processed_csv) as temporary:
        # Integers stay Python integers: as NumPy floats, one null speaker would turn 1 into 1.0 in all rows.
        table = utterances.to_pandas(integer_object_nulls=True)
        # With "\n" as line end, pandas would not quote a "\r" inside a text, and readers would end the row there.
        table.to_csv(temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return {"rows": rows, "width": width, "audio_tokens": tokens[0] if tokens else 1}


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


def _write_vectors(source: pq.ParquetFile, target: "Path") -> tuple[int, ...]:
    """Copies the vectors to an NPY file in batches; returns its shape."""
    import numpy as np

    shape = _shape(source)
    if not shape[0]:
        with target.open("wb") as stream:
            np.save(stream, np.empty(shape, dtype=np.float32))
        return shape
    matrix = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
    start = 0
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
