"""The members of an untrusted ZIP: the entries of its central directory, and their content in pieces.

`zipfile` reads the format. This module adds bounds for memory, checks for overlapping members, and one type of error
for all defects.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, NamedTuple, cast

from urgency_dagster.calls.landing.methods import BOUNDED_BY_ZIPFILE, METHODS, REPACK, decompressed, method_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import ArchiveError, Rejected

MAX_DIRECTORY_BYTES = 32 << 20
"""Maximum size of a central directory: 350,000 names of AI Hub. The largest archive there has 78,000.

`zipfile` reads the central directory into memory, and a damaged ZIP can claim that it is as long as the file.
"""

PIECE_BYTES = 1 << 20
"""Bytes that are unpacked at a time."""

UTF8_NAME, ENCRYPTED = 0x800, 0x1 | 0x40 | 0x2000
"""Bits of a member's flags. Encryption: of the content, strong, and of the central directory.

Source: PKWARE APPNOTE 4.4.4.
"""

AES = 99
"""The compression method of members that WinZip encrypted."""

LOCAL_HEADER_BYTES = 30
"""Bytes before the name of a member in its local header. Source: PKWARE APPNOTE 4.3.7."""

UNREADABLE = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
"""The errors of `zipfile` for an unreadable central directory. Invalid UTF-8 is a ValueError."""

DAMAGED = (*UNREADABLE, zlib.error, EOFError)
"""The errors of `zipfile` for an unreadable member."""


class Entry(NamedTuple):
    """The entry of one member in the central directory. Its values are not verified.

    Attributes:
        number: position in the central directory, from 0.
        raw_name: the stored bytes of the name, in an unknown code page.
        flags: bits of APPNOTE 4.4.4.
        method: compression method.
        crc32: checksum of the unpacked content.
        packed_bytes: size in the ZIP.
        size_bytes: size of the unpacked content.
        offset: start of the member in the file; can be outside of it.
        mode: file type and permissions of Unix, or 0.
    """

    number: int
    raw_name: bytes
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    offset: int
    mode: int


class BoundedReads:
    """A stream for `zipfile.ZipFile` that refuses to read more than MAX_DIRECTORY_BYTES at once.

    Args:
        stream: the content of the ZIP.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def seekable(self) -> bool:
        """Always True; a ZIP is read from its end."""
        return True

    def tell(self) -> int:
        """The position in the ZIP."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to a position of the ZIP.

        Raises:
            BadZipFile: the position is before the start of the file, so the central directory is damaged.
        """
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("a member or the list of members is said to begin before the file")
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Reads the next bytes; all of them for a negative size.

        Raises:
            BadZipFile: the size is larger than MAX_DIRECTORY_BYTES.
            ArchiveError: the file cannot be read. An OSError would mean the end of the file to `zipfile`.
        """
        if size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its list of members would take {size} bytes, of {MAX_DIRECTORY_BYTES} at most")
        try:
            return self._stream.read(size)
        except OSError as error:
            raise ArchiveError(
                f"cannot be read ({error.strerror})", "a file that can be read", "copy it again"
            ) from error


def listed(stream: BinaryIO) -> zipfile.ZipFile:
    """Reads the central directory of a ZIP.

    Raises:
        BadZipFile: the central directory cannot be read.
        ArchiveError: the file cannot be read.
    """
    try:
        return zipfile.ZipFile(cast(IO[bytes], BoundedReads(stream)))
    except UNREADABLE as error:
        # Messages of other errors can quote member names.
        message = str(error) if isinstance(error, zipfile.BadZipFile) else type(error).__name__
        raise zipfile.BadZipFile(message) from error


@contextmanager
def opened(landed: LandedZip) -> Iterator[zipfile.ZipFile]:
    """Opens a ZIP and reads its central directory.

    Raises:
        ArchiveError: the central directory or the file cannot be read.
        OSError: the file cannot be opened.
    """
    with landed.open() as stream:
        try:
            archive = listed(stream)
        except zipfile.BadZipFile as error:
            raise ArchiveError(
                f"{landed.name} cannot be read as a ZIP ({error})", "a complete ZIP", "copy it again"
            ) from error
        with archive:
            yield archive


def entries(archive: zipfile.ZipFile) -> Iterator[Entry]:
    """Yields the entries of the central directory in order."""
    for number, info in enumerate(archive.infolist()):
        # zipfile decodes other names as CP437, which maps all 256 bytes, so encoding restores them.
        raw_name = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8_NAME else "cp437")
        numbers = info.flag_bits, info.compress_type, info.CRC, info.compress_size, info.file_size
        yield Entry(number, raw_name, *numbers, info.header_offset, info.external_attr >> 16)


def why_unsupported(archive: zipfile.ZipFile) -> str:
    """Why no member of a ZIP can be unpacked: their compression method; empty if one can be, or is encrypted."""
    methods = {info.compress_type for info in archive.infolist() if info.file_size}
    if not methods or methods & {*METHODS, AES}:
        return ""
    names = ", ".join(method_name(method) for method in sorted(methods))
    return f"packed by {names}, which is not read; {REPACK}"


def check_readable(entry: Entry) -> None:
    """Checks that a member can be unpacked.

    Raises:
        Rejected: the member is encrypted, or has another compression method than METHODS.
    """
    if entry.flags & ENCRYPTED or entry.method == AES:
        raise Rejected(RejectReason.ENCRYPTED, "the member is encrypted")
    if entry.method not in METHODS:
        raise Rejected(RejectReason.CORRUPT, f"packed by {method_name(entry.method)}, which is not read; {REPACK}")


def unpacked(archive: zipfile.ZipFile, entry: Entry, end: int) -> Iterator[bytes]:
    """Yields the content of a member in pieces of at most PIECE_BYTES.

    Args:
        archive: the ZIP.
        entry: an entry that passed `check_readable`.
        end: the offset of the next member or of the central directory.

    Raises:
        Rejected: the local header and the central directory differ, the member overlaps another one, or the content
            has another size or checksum.
    """
    if not 0 <= entry.offset < end:
        raise Rejected(RejectReason.CORRUPT, "said to begin outside the archive")
    if entry.offset + LOCAL_HEADER_BYTES + len(entry.raw_name) + entry.packed_bytes > end:
        raise Rejected(RejectReason.CORRUPT, "its bytes are those of another member too, or of the directory")
    size_bytes = 0
    try:
        for piece in _pieces(archive, archive.infolist()[entry.number]):
            size_bytes += len(piece)
            yield piece
    except DAMAGED as error:
        raise Rejected(RejectReason.CORRUPT, type(error).__name__) from error
    if size_bytes != entry.size_bytes:
        raise Rejected(RejectReason.CORRUPT, "unpacks to another size than its header says")


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.compress_type not in BOUNDED_BY_ZIPFILE:
        yield from decompressed(archive, info, PIECE_BYTES)
        return
    with archive.open(info) as content:
        while piece := content.read(PIECE_BYTES):
            yield piece
