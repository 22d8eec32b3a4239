"""Vectors in shards, so that finished ones survive a killed run; and vectors of a former file, to be reused.

The identity of a vector is what it was computed from: the audio of the recording, the interval, the model and the
options.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls.segments import whole_calls
from urgency_dagster.tables import EMBEDDING, VECTOR_KEY
from urgency_dagster.writing import replacing, text_hash

if TYPE_CHECKING:
    import numpy as np

AUDIO_TOKENS = "audio_tokens"
"""Metadata key of `embeddings.parquet`: the number of vectors per utterance."""

VERIFIED = b"proved"
"""Metadata key of `embeddings.parquet`: `true` if the vectors passed the verification. Only those are reused."""


@dataclass(frozen=True)
class Shard:
    """Some complete calls of an archive.

    Attributes:
        start: the first row in the utterance table.
        rows: rows of the utterance table.
        path: the file of the finished vectors; its name is their identity.
        width: values per row, T * D: the vectors of an utterance, one after another.
    """

    start: int
    rows: pa.Table
    path: Path
    width: int

    def vectors(self) -> "np.ndarray | None":
        """The finished vectors as a memory map, float32 of shape (rows, width); None when the file is incomplete."""
        import numpy as np

        try:
            vectors: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        complete = vectors.shape == (self.rows.num_rows, self.width) and vectors.dtype == np.float32
        return vectors if complete else None

    def finish(self, vectors: "np.ndarray") -> None:
        """Stores the vectors."""
        import numpy as np

        with replacing(self.path) as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors)


def plan_shards(rows: pa.Table, folder: Path, made_with: Mapping[str, str], width: int, max_rows: int) -> list[Shard]:
    """Divides an utterance table into shards of about `max_rows` rows.

    Args:
        rows: the table, with the columns of VECTOR_KEY.
        folder: the folder of the finished shards.
        made_with: the rest of the identity: model, precision and options.
        width: values per row, T * D.
        max_rows: rows of a shard. Only a shard with one long call has more.
    """
    shards, start = [], 0
    for calls in whole_calls(rows, max_rows):
        identity = text_hash(json.dumps(dict(made_with), sort_keys=True), *_row_keys(calls).to_pylist())
        shards.append(Shard(start, calls, folder / f"{identity[:32]}.npy", width))
        start += calls.num_rows
    return shards


class FormerVectors:
    """The vectors of a former `embeddings.parquet` that can be reused.

    Args:
        source: the file. Nothing is reused if it is missing or damaged, or its vectors have another identity.
        made_with: the required identity, less the columns of VECTOR_KEY.
    """

    def __init__(self, source: Path, made_with: Mapping[str, str]) -> None:
        self._file = _reusable_file(source, made_with)
        if self._file:
            counts = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
            self._starts = [0, *accumulate(counts)][:-1]
            self._group = lru_cache(maxsize=2)(partial(_row_group, self._file))

    def find(self, rows: pa.Table) -> "np.ndarray":
        """The row of the former file for each row of an utterance table, or -1: int64, (rows,)."""
        import numpy as np

        if self._file is None:
            return np.full(rows.num_rows, -1)
        former_keys = _row_keys(self._file.read(columns=list(VECTOR_KEY)))
        positions = pc.index_in(_row_keys(rows), value_set=former_keys)
        former_rows: np.ndarray = pc.fill_null(positions, -1).to_numpy().astype(np.int64)
        return former_rows

    def copy_into(self, vectors: "np.ndarray", former_rows: "np.ndarray") -> None:
        """Copies vectors of the former file. One row group is read at a time; ascending rows are the fastest.

        Args:
            vectors: float32 of shape (rows, T * D). Only rows that the former file has are written.
            former_rows: see `find`.
        """
        import numpy as np

        reused = np.flatnonzero(former_rows >= 0)
        groups = np.searchsorted(self._starts, former_rows[reused], side="right") - 1 if len(reused) else reused
        for row, group in zip(reused.tolist(), groups.tolist(), strict=True):
            vectors[row] = self._group(group)[former_rows[row] - self._starts[group]]


def _row_group(file: pq.ParquetFile, number: int) -> "np.ndarray":
    return vectors_of(file.read_row_group(number, columns=[EMBEDDING]))


def _reusable_file(source: Path, made_with: Mapping[str, str]) -> pq.ParquetFile | None:
    """The file if it is complete and verified, and its vectors have the required identity."""
    try:
        file = pq.ParquetFile(source)
    except (OSError, pa.ArrowException):
        return None
    metadata = file_metadata(file)
    required = {name.encode(): value.encode() for name, value in made_with.items()} | {VERIFIED: b"true"}
    if any(metadata.get(name) != value for name, value in required.items()):
        return None
    return file if {*VECTOR_KEY, EMBEDDING} <= set(file.schema_arrow.names) else None


def file_metadata(file: pq.ParquetFile) -> dict[bytes, bytes]:
    """The metadata of an `embeddings.parquet`. Early files lack AUDIO_TOKENS and have one vector per utterance."""
    return {AUDIO_TOKENS.encode(): b"1"} | (file.metadata.metadata or {})


def _row_keys(rows: pa.Table) -> pa.Array:
    """The columns of VECTOR_KEY of each row as one text."""
    texts = [rows[name].combine_chunks().cast(pa.string()) for name in VECTOR_KEY]
    return pc.binary_join_element_wise(*texts, "/")


def vectors_of(rows: pa.Table) -> "np.ndarray":
    """The vectors of a table as a matrix, float32 of shape (rows, T * D)."""
    import numpy as np

    column = rows[EMBEDDING]
    width = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, width) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty((0, width), dtype=np.float32)


def tables_with_sample(tables: Iterator[pa.Table], sample: Sequence[int]) -> Iterator[tuple[pa.Table, "np.ndarray"]]:
    """Yields consecutive tables, each with the vectors of its sampled rows.

    Args:
        tables: tables of `embeddings.parquet`, one after another.
        sample: row numbers over all tables, ascending.
    """
    start = 0
    for table in tables:
        sampled = [row - start for row in sample if start <= row < start + table.num_rows]
        yield table, vectors_of(table.take(pa.array(sampled, pa.int64())))
        start += table.num_rows
