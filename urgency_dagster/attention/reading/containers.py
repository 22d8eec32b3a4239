"""What a file is, by its first bytes: a pickle, a compressed pickle, Parquet, or a kind that is refused by name."""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from urgency_dagster.attention.reading.unpickler import load_data
from urgency_dagster.errors import AttentionError

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"

ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""The first bytes of zlib at its levels of compression. `joblib.dump(..., compress=3)` writes zlib."""

REFUSED: Mapping[bytes, tuple[str, str]] = {
    b"version https://git-lfs": ("a Git LFS pointer, not the file itself", "run `git lfs pull` and land the file"),
    b"PK": ("a ZIP archive", "unpack it and land the pickle"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it and land the pickle"),
    b"Rar!": ("a RAR archive", "unpack it and land the pickle"),
    b"BZh": ("compressed by bzip2", "decompress it and land the pickle"),
    b"\xfd7zXZ": ("compressed by xz", "decompress it and land the pickle"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "decompress it and land the pickle"),
    b"\x93NUMPY": ("a NumPy array", "write the tuple (X, y, group, t) with pickle.dump"),
    b"\x89HDF": ("an HDF5 file", "write the tuple (X, y, group, t) with pickle.dump"),
    b"SQLite format 3": ("an SQLite database", "write the tuple (X, y, group, t) with pickle.dump"),
    b"<!DOCTYPE": ("an HTML page", "download the file itself"),
    b"<html": ("an HTML page", "download the file itself"),
}
"""What other files are, and the remedy, by their first bytes."""

EXPECTED = "a pickle, plain or compressed by gzip or zlib, or Parquet"

PIECE_BYTES = 1024**2
"""Size of the pieces in which a file is decompressed."""

COMPRESSION = 10
"""Assumed ratio of content and size of a compressed file, for its memory limit. Source: bool columns compress best."""

LABEL, GROUP, TIME = ("y", "label"), ("group", "pcode", "participant"), ("t", "t_s")
"""The names of the columns of a Parquet file that are not features."""


def content_size(path: Path) -> int:
    """The size of the content of a file for its memory limit, in bytes; 0 without a file."""
    if not path.is_file():
        return 0
    with path.open("rb") as stream:
        head = stream.read(4)
    return path.stat().st_size * (COMPRESSION if head.startswith((GZIP, PARQUET, *ZLIB)) else 1)


def content_of(stream: BinaryIO, max_bytes: int, warnings: list[str]) -> Any:
    """The content of a file: that of a pickle (see `load_data`), or a Parquet table.

    Raises:
        AttentionError: the file is empty, of another kind or damaged, or too large when it is decompressed.
    """
    head = stream.read(32)
    stream.seek(0)
    if not head:
        raise AttentionError("the file is empty", EXPECTED, "copy it again")
    for first, (kind, remedy) in REFUSED.items():
        if head.startswith(first):
            raise AttentionError(f"the file is {kind}", EXPECTED, remedy)
    if head.startswith(PARQUET):
        return parquet_table(stream, max_bytes)
    if not head.startswith((GZIP, *ZLIB)):
        return load_data(stream)
    kind, pieces = ("gzip", _gzip_pieces(stream)) if head.startswith(GZIP) else ("zlib", _zlib_pieces(stream))
    warnings.append(f"the file is compressed by {kind} and was decompressed")
    return load_data(io.BytesIO(_decompressed(kind, pieces, max_bytes)))


def _gzip_pieces(stream: BinaryIO) -> Iterator[bytes]:
    with gzip.open(stream) as unpacked:
        # One read of so many bytes would reserve them all.
        while piece := unpacked.read(PIECE_BYTES):
            yield piece


def _zlib_pieces(stream: BinaryIO) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    while not inflater.eof:
        packed = inflater.unconsumed_tail or stream.read(PIECE_BYTES)
        piece = inflater.decompress(packed, PIECE_BYTES)
        if not packed and not piece:
            raise EOFError("the end is missing")
        yield piece


def _decompressed(kind: str, pieces: Iterator[bytes], max_bytes: int) -> bytearray:
    content = bytearray()
    try:
        for piece in pieces:
            content += piece
            if len(content) > max_bytes:
                break
    except (OSError, EOFError, zlib.error) as error:
        raise AttentionError(
            f"the {kind} file is damaged ({type(error).__name__})", "a complete file", "copy it again"
        ) from error
    if len(content) > max_bytes:
        raise AttentionError("the decompressed file is too large", f"at most {max_bytes:,} bytes", "raise max_mb")
    return content


def parquet_table(stream: BinaryIO, max_bytes: int) -> pd.DataFrame:
    """The table of a Parquet file.

    Raises:
        AttentionError: the file is damaged or too large.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        size = sum(file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups))
        if size > max_bytes:
            raise AttentionError(f"X takes {size:,} bytes", f"at most {max_bytes:,}", "drop unneeded columns")
        table: pd.DataFrame = file.read(use_threads=False).to_pandas(ignore_metadata=True, use_threads=False)
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError) as error:
        raise AttentionError(
            f"the Parquet file is damaged ({type(error).__name__})", "a complete file", "copy it again"
        ) from error
    return table
