"""Utterances and vectors as the original's two files: a CSV and an array with the same rows in the same order."""

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS, noted_in
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import EMBEDDING
from urgency_dagster.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

KEY = ["_id", "utterance_id"]


def write_processed_data(paths: StoragePaths, archive: str) -> dict[str, int]:
    """Writes `processed_data.csv` (UTF-8 with BOM) and `wav2vec2_embeddings.npy`.

    The vectors are float32 of shape (N, D), or (N, T, D) where an utterance has T of them.

    Returns:
        The number of rows, the width of a vector, and how many an utterance has.

    Raises:
        ArtefactError: the vectors are not those of the utterance table, row by row.
    """
    files = paths.archive(archive)
    _check_same_rows(files.utterances, files.embeddings, archive)
    with replacing(files.vectors) as temporary:
        rows, *tokens, width = _write_vectors(files.embeddings, temporary)
    with replacing(files.processed_csv) as temporary:
        # Ints as they are: a single unknown speaker would make fractions of all the others.
        table = pq.read_table(files.utterances).to_pandas(integer_object_nulls=True)
        # With line ends of one character, a lone "\r" in a text would not be quoted and would end its row.
        table.to_csv(temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return {"rows": rows, "width": width, "audio_tokens": tokens[0] if tokens else 1}


def _check_same_rows(utterances: "Path", embeddings: "Path", archive: str) -> None:
    for path, asset in ((utterances, "utterances"), (embeddings, "utterance_embeddings")):
        if not path.is_file():
            raise ArtefactError(f"{archive} has no {path.name}", "both tables", f"materialise {asset}")
    if not pq.read_table(utterances, columns=KEY).equals(pq.read_table(embeddings, columns=KEY)):
        raise ArtefactError(
            f"the vectors of {archive} are not those of its utterance table",
            "the same keys in the same order",
            "materialise utterance_embeddings again",
        )


def _write_vectors(embeddings: "Path", target: "Path") -> tuple[int, ...]:
    """Copies the vectors row group by row group into a NPY file, without holding them all; returns its shape."""
    import numpy as np

    source = pq.ParquetFile(embeddings)
    shape = _shape(source)
    if not shape[0]:
        with target.open("wb") as stream:
            np.save(stream, np.empty(shape, dtype=np.float32))
        return shape
    matrix = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for batch in source.iter_batches(batch_size=4096, columns=[EMBEDDING]):
        vectors = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape[1:])
        matrix[start : start + len(vectors)] = vectors
        start += len(vectors)
    matrix.flush()
    return shape


def _shape(source: pq.ParquetFile) -> tuple[int, ...]:
    rows, width = source.metadata.num_rows, source.schema_arrow.field(EMBEDDING).type.list_size
    tokens = int(noted_in(source)[AUDIO_TOKENS.encode()])
    return (rows, width) if tokens == 1 else (rows, tokens, width // tokens)
