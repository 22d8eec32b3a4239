"""Atomic writing of files, folders and tables, and content hashes.

A file is written under a temporary name beside its target and then renamed, so a target is complete or absent.
Files and folders have the mode that the umask of the process gives.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


MAX_NAME_PREFIX = 40
"""Maximum letters of the target's name in a temporary name. With 4 bytes per letter it still fits 255 bytes."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`, and renames it over `target` when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    temporary = target.parent / f"{_temporary_prefix(target, os.getpid())}{secrets.token_hex(8)}.tmp"
    temporary.touch(exist_ok=False)
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        temporary.chmod(mode)  # a library may have replaced the file by one with another mode
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`, and replaces `target` by it when the block succeeds."""
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
            # Moved aside first: a deletion in place that is interrupted leaves half of the folder.
            os.replace(target, Path(scratch, "old"))
        os.replace(temporary, target)


def _temporary_prefix(target: Path, process: int | str) -> str:
    """The prefix of the temporary names of a target, by host and process."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f".{target.name[:MAX_NAME_PREFIX]}.{host}-{process}-"


def _remove_abandoned(target: Path) -> None:
    """Removes temporary files of `target` whose process ran on this machine and no longer exists."""
    pattern = re.compile(re.escape(_temporary_prefix(target, "")[:-1]) + r"(\d+)-.*\.tmp")
    for path in target.parent.iterdir():
        name = pattern.fullmatch(path.name)
        if name and not psutil.pid_exists(int(name[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes a text as UTF-8."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes a value as readable JSON with sorted keys.

    Raises:
        ValueError: the value holds NaN or infinity, which JSON cannot represent.
    """
    write_text(target, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(source: Path) -> Any:
    """The value of a JSON file."""
    return json.loads(source.read_text(encoding="utf-8"))


def write_table(target: Path, table: "pa.Table") -> None:
    """Writes a table as Parquet. Equal tables give equal bytes."""
    import pyarrow.parquet as pq

    with replacing(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


class TableSink:
    """Writes rows to Parquet in row groups of fixed length, so that memory does not grow with the table."""

    ROWS_PER_BATCH = 128
    ROWS_PER_GROUP = 64 * ROWS_PER_BATCH

    def __init__(self, writer: "pq.ParquetWriter") -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Appends rows. A missing key becomes null."""
        self._rows += rows
        while len(self._rows) >= self.ROWS_PER_BATCH:
            self._pack(self.ROWS_PER_BATCH)
            if len(self._batches) * self.ROWS_PER_BATCH == self.ROWS_PER_GROUP:
                self._flush()

    def _pack(self, count: int) -> None:
        """Converts rows into columns, which need a tenth of the memory."""
        import pyarrow as pa

        self._batches.append(pa.RecordBatch.from_pylist(self._rows[:count], schema=self._writer.schema))
        del self._rows[:count]

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches.clear()

    def close(self) -> None:
        """Writes the remaining rows."""
        if self._rows:
            self._pack(len(self._rows))
        if self._batches:
            self._flush()


@contextmanager
def table_sink(target: Path, schema: "pa.Schema") -> Iterator[TableSink]:
    """Yields a sink for the rows of a Parquet file. The file exists after the block succeeds."""
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
    """The SHA-256 of a sequence of texts, in hex. ("ab", "c") and ("a", "bc") have different hashes."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
