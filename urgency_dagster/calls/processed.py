"""Utterances and vectors as the original's two files: a CSV and a matrix with the same rows in the same order."""

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.storage import StoragePaths, replacing
from urgency_dagster.tables import EMBEDDING

if TYPE_CHECKING:
    from pathlib import Path

KEY = ["_id", "utterance_id"]


def write_processed_data(paths: StoragePaths, archive: str) -> dict[str, int]:
    """Writes `processed_data.csv` (UTF-8 with BOM) and `wav2vec2_embeddings.npy` (float32, shape (N, D)).

    Returns:
        The number of rows and the width of the vectors.

    Raises:
        ArtefactError: the vectors are not those of the utterance table, row by row.
    """
    files = paths.archive(archive)
    _check_same_rows(files.utterances, files.embeddings, archive)
    with replacing(files.vectors) as temporary:
        rows, width = _write_matrix(files.embeddings, temporary)
    with replacing(files.processed_csv) as temporary:
        # Ints as they are: a single unknown speaker would make fractions of all the others.
        table = pq.read_table(files.utterances).to_pandas(integer_object_nulls=True)
        # With line ends of one character, a lone "\r" in a text would not be quoted and would end its row.
        table.to_csv(temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return {"rows": rows, "width": width}


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


def _write_matrix(embeddings: "Path", target: "Path") -> tuple[int, int]:
    """Copies the vectors row group by row group into a NPY file, without holding them all."""
    import numpy as np

    source = pq.ParquetFile(embeddings)
    shape = (source.metadata.num_rows, source.schema_arrow.field(EMBEDDING).type.list_size)
    if not shape[0]:
        with target.open("wb") as stream:
            np.save(stream, np.empty(shape, dtype=np.float32))
        return shape
    matrix = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for batch in source.iter_batches(batch_size=4096, columns=[EMBEDDING]):
        vectors = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(-1, shape[1])
        matrix[start : start + len(vectors)] = vectors
        start += len(vectors)
    matrix.flush()
    return shape
