"""The members of a ZIP that nobody trusts: what its directory says of them, and their content, piece by piece.

`zipfile` reads the format. What it leaves to its callers is here: bounds for memory, members that share their bytes,
and one kind of error for all that may be wrong. No name is judged and nothing is written.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, NamedTuple, cast

from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import ArchiveError, Rejected

MAX_DIRECTORY_BYTES = 32 << 20
"""The longest list of members that is read: 350,000 names of AI Hub, whose largest archive has 78 thousand.

`zipfile` reads the list into memory as a whole, and a damaged ZIP may say that it is as long as the file.
"""

PIECE_BYTES = 1 << 20

UTF8_NAME, ENCRYPTED = 0x800, 0x1 | 0x40 | 0x2000
"""Bits of a member's flags; of encryption, those of the content, strong, and of the directory.

Source: PKWARE APPNOTE 4.4.4.
"""

AES = 99
"""The method that encrypted members of WinZip have."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What ZIPs use in practice. The others cannot be unpacked in small pieces, so a bomb would fill the memory."""

LOCAL_HEADER_BYTES = 30
"""A member begins with so many bytes and its name. Source: PKWARE APPNOTE 4.3.7."""

UNREADABLE = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
"""What `zipfile` raises on a list of members that it cannot read; bytes that are no UTF-8 are a ValueError."""

DAMAGED = (*UNREADABLE, zlib.error, EOFError)
"""What `zipfile` raises on a member that it cannot read."""


class Entry(NamedTuple):
    """What the directory says about one member; none of it has been tested.

    Attributes:
        number: its place in the directory, from 0.
        raw_name: the name as stored; in which code page is not known.
        flags: bits of APPNOTE 4.4.4.
        method: how it is packed.
        crc32: checksum of the unpacked content.
        packed_bytes: size in the ZIP.
        size_bytes: size of the unpacked content.
        offset: where it begins in the file; may lie outside.
        mode: file type and permissions of Unix, 0 when they are not recorded.
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
    """A stream for `zipfile.ZipFile` that refuses to read more at once than a list of members may take.

    Args:
        stream: the content of the ZIP.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def seekable(self) -> bool:
        """True: a ZIP is read from its end."""
        return True

    def tell(self) -> int:
        """The position in the ZIP."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to a position of the ZIP.

        Raises:
            BadZipFile: it lies before the beginning, where only a damaged list of members points.
        """
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("a member or the list of members is said to begin before the file")
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """The next bytes; all that are left for a negative size, as of a file.

        Raises:
            BadZipFile: more is asked for than a list of members may take.
            ArchiveError: the file cannot be read. Not an OSError, which `zipfile` takes for the end of the file.
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
    """The ZIP with its list of members read.

    Raises:
        BadZipFile: the list cannot be read.
        ArchiveError: the file cannot be read.
    """
    try:
        return zipfile.ZipFile(cast(IO[bytes], BoundedReads(stream)))
    except UNREADABLE as error:
        # The messages of other errors than BadZipFile may quote names.
        shown = str(error) if isinstance(error, zipfile.BadZipFile) else type(error).__name__
        raise zipfile.BadZipFile(shown) from error


@contextmanager
def opened(landed: LandedZip) -> Iterator[zipfile.ZipFile]:
    """Yields the ZIP with its list of members read.

    Raises:
        ArchiveError: the list cannot be read, or the file.
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
    """The members in their order."""
    for number, info in enumerate(archive.infolist()):
        # zipfile decodes other names as CP437, which maps all 256 bytes, so the bytes can be had back.
        raw_name = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8_NAME else "cp437")
        numbers = info.flag_bits, info.compress_type, info.CRC, info.compress_size, info.file_size
        yield Entry(number, raw_name, *numbers, info.header_offset, info.external_attr >> 16)


def check_readable(entry: Entry) -> None:
    """Refuses what could not be unpacked whatever the bytes are.

    Raises:
        Rejected: the entry is encrypted or packed in an unusual way.
    """
    if entry.flags & ENCRYPTED or entry.method == AES:
        raise Rejected(RejectReason.ENCRYPTED, "the member is encrypted")
    if entry.method not in METHODS:
        raise Rejected(RejectReason.CORRUPT, f"packed by method {entry.method}, which is not supported")


def unpacked(archive: zipfile.ZipFile, entry: Entry, end: int) -> Iterator[bytes]:
    """The content in pieces of at most `PIECE_BYTES`, with flat memory.

    Args:
        archive: the ZIP.
        entry: one that `check_readable` passed.
        end: where the next member or the directory begins.

    Raises:
        Rejected: the local header tells another story than the directory, the bytes are those of other members too,
            or the content has another size or checksum.
    """
    if not 0 <= entry.offset < end:
        raise Rejected(RejectReason.CORRUPT, "said to begin outside the archive")
    if entry.offset + LOCAL_HEADER_BYTES + len(entry.raw_name) + entry.packed_bytes > end:
        raise Rejected(RejectReason.CORRUPT, "its bytes are those of another member too, or of the directory")
    size_bytes = 0
    try:
        with archive.open(archive.infolist()[entry.number]) as content:
            while piece := content.read(PIECE_BYTES):
                size_bytes += len(piece)
                yield piece
    except DAMAGED as error:
        raise Rejected(RejectReason.CORRUPT, type(error).__name__) from error
    if size_bytes != entry.size_bytes:
        raise Rejected(RejectReason.CORRUPT, "unpacks to another size than its header says")
