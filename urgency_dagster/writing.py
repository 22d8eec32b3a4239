"""Every path below the storage root, and writing that is complete or absent.

No table is transformed here. A file is written under a temporary name beside its target and renamed over it.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


NAME_SHOWN = 40
"""Letters of the target's name in a temporary name: of 4 bytes each, they still fit a file name of 255 bytes."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`; renames it over `target` when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    handle, name = tempfile.mkstemp(prefix=_temporary_prefix(target, os.getpid()), suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`; puts it in the place of `target` when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    prefix = _temporary_prefix(target, os.getpid())
    with tempfile.TemporaryDirectory(
        prefix=prefix, suffix=".tmp", dir=target.parent, ignore_cleanup_errors=True
    ) as scratch:
        temporary = Path(scratch, "new")
        temporary.mkdir()
        yield temporary
        if target.exists():
            # Moved aside whole: deleting it in place could leave half of it there.
            os.replace(target, Path(scratch, "old"))
        os.replace(temporary, target)


def _temporary_prefix(target: Path, process: int | str) -> str:
    """How the temporary names of a target begin that a process of this machine makes."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f".{target.name[:NAME_SHOWN]}.{host}-{process}-"


def _remove_abandoned(target: Path) -> None:
    """Removes what processes of this machine that were killed left behind while they replaced `target`."""
    pattern = re.compile(re.escape(_temporary_prefix(target, "")[:-1]) + r"(\d+)-.*\.tmp")
    for path in target.parent.iterdir():
        found = pattern.fullmatch(path.name)
        if found and not psutil.pid_exists(int(found[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes `text` as UTF-8."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes `value` as readable JSON with sorted keys; NaN is refused, because JSON has none."""
    write_text(target, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(source: Path) -> Any:
    """The value stored by `write_json`."""
    return json.loads(source.read_text(encoding="utf-8"))


def write_table(target: Path, table: "pa.Table") -> None:
    """Writes `table` as Parquet; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    with replacing(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


class TableSink:
    """Collects rows and writes them as row groups of fixed length, so that memory stays flat."""

    ROWS_PER_BATCH = 1_024
    ROWS_PER_GROUP = 8 * ROWS_PER_BATCH

    def __init__(self, writer: "pq.ParquetWriter") -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Appends rows; missing keys are nulls."""
        self._rows += rows
        while len(self._rows) >= self.ROWS_PER_BATCH:
            self._pack(self.ROWS_PER_BATCH)
            if len(self._batches) * self.ROWS_PER_BATCH == self.ROWS_PER_GROUP:
                self._flush()

    def _pack(self, count: int) -> None:
        """Turns rows into columns, which take a tenth of the memory."""
        import pyarrow as pa

        self._batches.append(pa.RecordBatch.from_pylist(self._rows[:count], schema=self._writer.schema))
        del self._rows[:count]

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches.clear()

    def close(self) -> None:
        """Writes what is left."""
        if self._rows:
            self._pack(len(self._rows))
        if self._batches:
            self._flush()


@contextmanager
def table_sink(target: Path, schema: "pa.Schema") -> Iterator[TableSink]:
    """Yields a sink for the rows of a Parquet file, which is there when the block succeeds."""
    import pyarrow.parquet as pq

    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        sink = TableSink(writer)
        yield sink
        sink.close()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_hash(*parts: str) -> str:
    """The SHA-256 of some texts, in hex; ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
