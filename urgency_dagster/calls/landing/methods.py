"""The compression methods of ZIP members, and bounded decompression of those that `zipfile` unpacks without a bound.

`zipfile` decompresses each block of bzip2 and LZMA at once, and a block of 4 kB can hold 30 MB.
"""

import bz2
import copy
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import Rejected

BOUNDED_BY_ZIPFILE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The methods that `zipfile` unpacks in pieces."""

METHODS = (*BOUNDED_BY_ZIPFILE, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
"""The accepted compression methods."""

METHOD_NAMES = {
    1: "Shrink", 6: "Implode", 9: "Deflate64", 10: "PKWARE Imploding", 93: "Zstandard", 94: "MP3", 95: "XZ",
    96: "JPEG", 97: "WavPack", 98: "PPMd",
}  # fmt: skip
"""The names of other methods. Source: PKWARE APPNOTE 4.4.5."""

REPACK = "unpack it, and pack its files with Deflate: `zip -r`, or 7-Zip with the method Deflate"

MAX_DICTIONARY_BYTES = 64 << 20
"""Maximum memory of an LZMA dictionary: that of 7-Zip's level Ultra."""

PACKED_BYTES = 1 << 16
"""Packed bytes that are read at a time."""

LZMA_HEADER = struct.Struct("<4xBI")
"""The start of an LZMA member: version and size of the properties, properties, dictionary size.

Source: PKWARE APPNOTE 5.8.8.
"""


def method_name(method: int) -> str:
    """The name of a compression method, for a reason."""
    return METHOD_NAMES.get(method, f"method {method}")


class Decompressor(Protocol):
    """What `bz2.BZ2Decompressor` and `lzma.LZMADecompressor` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more packed bytes are needed for more output."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """The next bytes, at most `max_length`."""


def decompressed(archive: zipfile.ZipFile, info: zipfile.ZipInfo, piece_bytes: int) -> Iterator[bytes]:
    """Yields the content of a member that is packed by bzip2 or LZMA, in pieces of at most `piece_bytes`.

    An LZMA stream can end without a mark, so the content ends at the size in the header.

    Raises:
        Rejected: the member is damaged, or its dictionary is too large.
        BadZipFile: the local header and the central directory differ.
    """
    stored = copy.copy(info)
    stored.compress_type, stored.file_size = zipfile.ZIP_STORED, info.compress_size
    stored.CRC = None  # type: ignore[assignment] # that of the unpacked content: zipfile would compare the packed bytes
    left, crc32 = info.file_size, 0
    with archive.open(stored) as packed:
        decompressor = _decompressor(info, packed)
        while left and not decompressor.eof:
            data = packed.read(PACKED_BYTES) if decompressor.needs_input else b""
            piece = _next_piece(decompressor, data, min(piece_bytes, left))
            if not piece and not data and decompressor.needs_input:
                break
            left -= len(piece)
            crc32 = zlib.crc32(piece, crc32)
            yield piece
    if crc32 != info.CRC:
        raise Rejected(RejectReason.CORRUPT, "unpacks to another content than its checksum says")


def _next_piece(decompressor: Decompressor, data: bytes, max_bytes: int) -> bytes:
    try:
        return decompressor.decompress(data, max_bytes)
    except (OSError, lzma.LZMAError, ValueError, EOFError) as error:
        raise Rejected(RejectReason.CORRUPT, type(error).__name__) from error


def _decompressor(info: zipfile.ZipInfo, packed: IO[bytes]) -> Decompressor:
    """The decompressor of a member, whose packed bytes are at their start."""
    if info.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor()
    header = packed.read(LZMA_HEADER.size)
    if len(header) < LZMA_HEADER.size:
        raise Rejected(RejectReason.CORRUPT, "its LZMA header is cut off")
    properties, dictionary_bytes = LZMA_HEADER.unpack(header)
    # No match reaches further back than the content is long, so a larger dictionary would be unused memory.
    dictionary_bytes = max(4096, min(dictionary_bytes, info.file_size))
    if dictionary_bytes > MAX_DICTIONARY_BYTES:
        raise Rejected(RejectReason.TOO_LARGE, f"its LZMA dictionary takes more than {MAX_DICTIONARY_BYTES} bytes")
    filters = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": dictionary_bytes,
        "lc": properties % 9,
        "lp": properties // 9 % 5,
        "pb": properties // 45,
    }
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])
    except (lzma.LZMAError, ValueError) as error:
        raise Rejected(RejectReason.CORRUPT, "its LZMA header is damaged") from error
