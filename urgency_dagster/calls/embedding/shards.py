"""The vectors of an archive in pieces: finished ones outlive a killed run, and those of a former file are used again.

A vector is known by what it was made from: the sound of the recording, the interval, the model and the precision.
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
"""In the metadata of `embeddings.parquet`: how many vectors an utterance has."""

VERIFIED = b"proved"
"""In the metadata of `embeddings.parquet`: whether its vectors passed the proof. Others are never used again."""


@dataclass(frozen=True)
class Shard:
    """Some whole calls of an archive.

    Attributes:
        start: the first row.
        rows: of the utterance table.
        path: where the vectors are kept until all shards are finished, named after what they are made from.
        width: of a row: the vectors of an utterance, one after another.
    """

    start: int
    rows: pa.Table
    path: Path
    width: int

    def vectors(self) -> "np.ndarray | None":
        """The finished vectors, float32 of shape (rows, width), as a memory map; None when they are not (all) there."""
        import numpy as np

        try:
            vectors: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        right = vectors.shape == (self.rows.num_rows, self.width) and vectors.dtype == np.float32
        return vectors if right else None

    def finish(self, vectors: "np.ndarray") -> None:
        """Keeps the vectors."""
        import numpy as np

        with replacing(self.path) as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors)


def plan_shards(rows: pa.Table, folder: Path, made_with: Mapping[str, str], width: int, max_rows: int) -> list[Shard]:
    """The shards of an utterance table, about `max_rows` rows each.

    Args:
        rows: the table, with the columns of VECTOR_KEY.
        folder: of the finished shards.
        made_with: what else the vectors are made from: model, precision and the like.
        width: of a row: the vectors of an utterance, one after another.
        max_rows: rows of a shard, more only where a single call has more.
    """
    shards, start = [], 0
    for piece in whole_calls(rows, max_rows):
        identity = text_hash(json.dumps(dict(made_with), sort_keys=True), *_keys(piece).to_pylist())
        shards.append(Shard(start, piece, folder / f"{identity[:32]}.npy", width))
        start += piece.num_rows
    return shards


class FormerVectors:
    """The vectors of an `embeddings.parquet` that may serve again.

    Args:
        source: the file; it may be missing, damaged, or made otherwise, and then serves nothing.
        made_with: what the vectors must have been made with.
    """

    def __init__(self, source: Path, made_with: Mapping[str, str]) -> None:
        self._file = _usable(source, made_with)
        if self._file:
            counts = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
            self._starts = [0, *accumulate(counts)][:-1]
            self._group = lru_cache(maxsize=2)(partial(_row_group, self._file))

    def find(self, rows: pa.Table) -> "np.ndarray":
        """For each row of an utterance table, the row of the former file with its vector, or -1: int64, (rows,)."""
        import numpy as np

        if self._file is None:
            return np.full(rows.num_rows, -1)
        known = _keys(self._file.read(columns=list(VECTOR_KEY)))
        found = pc.index_in(_keys(rows), value_set=known)
        return pc.fill_null(found, -1).to_numpy().astype(np.int64)

    def fill(self, vectors: "np.ndarray", at: "np.ndarray") -> None:
        """Copies vectors of the former file; it is read a row group at a time, fastest in ascending order.

        Args:
            vectors: float32 of shape (rows, T * D), of which only the rows that are found are written.
            at: for each row what `find` says.
        """
        import numpy as np

        known = np.flatnonzero(at >= 0)
        groups = np.searchsorted(self._starts, at[known], side="right") - 1 if len(known) else known
        for row, group in zip(known.tolist(), groups.tolist(), strict=True):
            vectors[row] = self._group(group)[at[row] - self._starts[group]]


def _row_group(file: pq.ParquetFile, number: int) -> "np.ndarray":
    return vectors_of(file.read_row_group(number, columns=[EMBEDDING]))


def _usable(source: Path, made_with: Mapping[str, str]) -> pq.ParquetFile | None:
    """The file when it is whole, proved, and made with the same."""
    try:
        file = pq.ParquetFile(source)
    except (OSError, pa.ArrowException):
        return None
    noted = noted_in(file)
    wanted = {name.encode(): value.encode() for name, value in made_with.items()} | {VERIFIED: b"true"}
    if any(noted.get(name) != value for name, value in wanted.items()):
        return None
    return file if {*VECTOR_KEY, EMBEDDING} <= set(file.schema_arrow.names) else None


def noted_in(file: pq.ParquetFile) -> dict[bytes, bytes]:
    """The metadata of an `embeddings.parquet`; utterances of one that does not say how many vectors have one each."""
    return {AUDIO_TOKENS.encode(): b"1"} | (file.metadata.metadata or {})


def _keys(rows: pa.Table) -> pa.Array:
    """What each row's vector is known by, beyond what all have in common, as one text."""
    texts = [rows[name].combine_chunks().cast(pa.string()) for name in VECTOR_KEY]
    return pc.binary_join_element_wise(*texts, "/")


def vectors_of(rows: pa.Table) -> "np.ndarray":
    """The column of vectors of a table as a matrix, float32 of shape (rows, T * D)."""
    import numpy as np

    column = rows[EMBEDDING]
    width = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, width) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty((0, width), dtype=np.float32)


def vectors_at(tables: Iterator[pa.Table], at: Sequence[int]) -> Iterator[tuple[pa.Table, "np.ndarray"]]:
    """Each of the consecutive tables, with the vectors of those of the rows `at` (ascending) that are in it."""
    start = 0
    for table in tables:
        here = [row - start for row in at if start <= row < start + table.num_rows]
        yield table, vectors_of(table.take(pa.array(here, pa.int64())))
        start += table.num_rows
