"""The table of all archives in the three files of the original pipeline, such as its `광주_구급_full_final.csv`."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.shards import file_metadata
from urgency_dagster.calls.processed import (
    add_original_rows,
    original_writer,
    read_rows,
    vector_values,
    write_csv,
    write_vectors,
)
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import replacing_folder

FULL_CSV, FULL_PARQUET, FULL_NPY = "full_final.csv", "full_final.parquet", "wav2vec2_embeddings_full.npy"
"""The files. Source of the names: the files that the original's training script reads."""


def write_full_table(paths: StoragePaths, archives: Sequence[str]) -> list[Path]:
    """Writes the rows of some archives, one archive after another, as CSV, Parquet and NPY in the same order.

    The CSV has the columns of `processed_data.csv`, the Parquet file those of the original's table with the vectors.

    Args:
        paths: the storage root.
        archives: names of the archives, in any order.

    Returns:
        The three files.

    Raises:
        ArtefactError: there are no archives, a table of one is missing, or the vectors differ in shape or in the
            speech model that made them.
    """
    names = sorted(archives)
    tables = [read_rows(paths, archive) for archive in names]
    widths = {vector_values(embeddings) for _, embeddings in tables}
    if len(widths) != 1:
        raise ArtefactError(
            f"{len(names)} archives with vectors of {len(widths)} widths",
            "at least one archive, and one width",
            "materialize utterance_embeddings and processed_data of all archives with the same options",
        )
    _check_one_model([embeddings for _, embeddings in tables])
    target = paths.urgency.full_table
    with replacing_folder(target) as folder:
        write_csv(folder / FULL_CSV, (utterances for utterances, _ in tables))
        write_vectors([embeddings for _, embeddings in tables], folder / FULL_NPY)
        with original_writer(folder / FULL_PARQUET, widths.pop()) as writer:
            for utterances, embeddings in tables:
                add_original_rows(writer, utterances, embeddings)
    return [target / name for name in (FULL_CSV, FULL_PARQUET, FULL_NPY)]


def _check_one_model(files: Sequence[pq.ParquetFile]) -> None:
    """Checks that one speech model made all vectors. A model or revision that a file does not name fits each other.

    Raises:
        ArtefactError: there are two models, or two revisions of one.
    """
    for key, what in ((b"model", "speech models"), (b"revision", "revisions of a speech model")):
        named = {file_metadata(file).get(key, b"").decode() for file in files} - {""}
        if len(named) > 1:
            raise ArtefactError(
                f"archives with vectors of {len(named)} {what}: {', '.join(sorted(named))}",
                "vectors of one speech model",
                "materialize utterance_embeddings and processed_data of all archives with the same model",
            )
