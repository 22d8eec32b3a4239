"""The ZIP format: the directory of a ZIP, entry by entry, and the unpacked content of one entry.

Nothing is written, and no name is judged here. `zipfile` is not used for two reasons: it holds the whole directory in
memory, once per process; and it refuses a whole archive for one odd entry.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster.tables import RejectReason

STORED, DEFLATED, AES = 0, 8, 99
"""Compression methods. 0 and 8 are what ZIPs use in practice; no other can be unpacked in small pieces."""

ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flags of encryption: of the content, strong, of the directory."""

PATCHED = 0x20
"""Flag of content that is a patch of another file."""

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64 = struct.Struct("<4sLQL")

COMMENT_MAX = 0xFFFF
IN_EXTRA_FIELD = 0xFFFFFFFF
"""Said in the place of a number that does not fit into 32 bits."""

ZIP64 = 1
"""The extra field that holds such numbers."""

PIECE_BYTES = 1 << 18


class Entry(NamedTuple):
    """What the directory says about one member; none of it has been tested.

    Attributes:
        raw_name: the name as stored; in which code page is not known.
        flags: bits of APPNOTE 4.4.4.
        method: how it is packed.
        crc32: checksum of the unpacked content.
        packed_bytes: size in the ZIP.
        size_bytes: size of the unpacked content.
        offset: where its local header begins, counted from the beginning of the file; may lie outside.
        mode: file type and permissions of Unix, 0 when they are not recorded.
    """

    raw_name: bytes
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    offset: int
    mode: int


@dataclass(frozen=True)
class Directory:
    """Where the directory of a ZIP lies in its file.

    Attributes:
        start: its first byte.
        size_bytes: its length.
        shift: bytes before the ZIP itself, as of a self-extracting one; offsets in the directory do not count them.
            Negative when the end record is wrong, so that no member is found.
    """

    start: int
    size_bytes: int
    shift: int


def find_directory(stream: BinaryIO, name: str) -> Directory:
    """Where the directory lies; `name` is said in the error.

    Raises:
        ArchiveError: the file does not end like a ZIP.
    """
    end, size_bytes, offset = _end_record(stream, name)
    start = end - size_bytes
    if start < 0:
        raise _unreadable(name, "its directory would begin before the file")
    return Directory(start, size_bytes, start - offset)


def _end_record(stream: BinaryIO, name: str) -> tuple[int, int, int]:
    """Where the records of the end begin, and what they say of the directory: its size and its offset."""
    length = stream.seek(0, 2)
    tail_start = max(0, length - END.size - COMMENT_MAX)
    stream.seek(tail_start)
    tail = stream.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) < found + END.size:
        raise _unreadable(name, "its end is missing")
    size_bytes, offset = END.unpack_from(tail, found)[5:7]
    return _end_record_64(stream, tail_start + found) or (tail_start + found, size_bytes, offset)


def _end_record_64(stream: BinaryIO, end: int) -> tuple[int, int, int] | None:
    """The record of ZIPs over 4 GiB or 65,535 members, which lies just before its locator; None without one."""
    start = end - LOCATOR_64.size - END_64.size
    if start < 0:
        return None
    stream.seek(start)
    records = stream.read(END_64.size + LOCATOR_64.size)
    if not records.startswith(b"PK\x06\x06") or records[END_64.size :][:4] != b"PK\x06\x07":
        return None
    size_bytes, offset = END_64.unpack_from(records)[8:10]
    return start, size_bytes, offset


def read_entries(stream: BinaryIO, directory: Directory, name: str) -> Iterator[Entry]:
    """The entries in their order; `name` is said in the error. The position of `stream` must not be moved meanwhile.

    Raises:
        ArchiveError: the directory is damaged.
    """
    stream.seek(directory.start)
    left = directory.size_bytes
    while left:
        header = stream.read(CENTRAL.size)
        if len(header) < CENTRAL.size or not header.startswith(b"PK\x01\x02"):
            raise _unreadable(name, "its directory is damaged")
        fields = CENTRAL.unpack(header)
        name_length, extra_length, comment_length = fields[10:13]
        rest_length = name_length + extra_length + comment_length
        rest = stream.read(rest_length)
        left -= CENTRAL.size + rest_length
        if left < 0 or len(rest) < rest_length:
            raise _unreadable(name, "its directory is damaged")
        yield _entry(fields, rest[:name_length], rest[name_length : name_length + extra_length], directory.shift)


def _entry(fields: tuple, raw_name: bytes, extra: bytes, shift: int) -> Entry:
    flags, method, _, _, crc32, packed, size = fields[3:10]
    external, offset = fields[15:17]
    if IN_EXTRA_FIELD in (packed, size, offset):
        size, packed, offset = _from_extra(extra, [size, packed, offset])
    return Entry(raw_name, flags, method, crc32, packed, size, offset + shift, external >> 16)


def _from_extra(extra: bytes, numbers: list[int]) -> list[int]:
    """The numbers, with those that did not fit replaced, as far as the extra field has them."""
    wide = _extra_field(extra, ZIP64)
    for position, number in enumerate(numbers):
        if number == IN_EXTRA_FIELD and len(wide) >= 8:
            numbers[position], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    return numbers


def _extra_field(extra: bytes, wanted: int) -> bytes:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == wanted:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return b""


def _unreadable(name: str, why: str) -> ArchiveError:
    return ArchiveError(f"{name} cannot be read as a ZIP: {why}", "a complete ZIP", "copy it again")


def check_readable(entry: Entry) -> None:
    """Refuses what could not be unpacked whatever the bytes are.

    Raises:
        Rejected: the entry is encrypted or packed in an unusual way.
    """
    if entry.flags & ENCRYPTED or entry.method == AES:
        raise Rejected(RejectReason.ENCRYPTED, "the member is encrypted")
    if entry.method not in (STORED, DEFLATED) or entry.flags & PATCHED:
        raise Rejected(RejectReason.CORRUPT, f"packed by method {entry.method}, which is not supported")


def unpacked(stream: BinaryIO, entry: Entry, end: int) -> Iterator[bytes]:
    """The content in pieces of at most `PIECE_BYTES`, with flat memory.

    Args:
        stream: the ZIP.
        entry: one that `check_readable` passed.
        end: where the next member or the directory begins.

    Raises:
        Rejected: the local header tells another story than the directory, the bytes are those of other members too,
            or the content has another size or checksum.
    """
    _seek_content(stream, entry, end)
    unpack = _inflated if entry.method == DEFLATED else _packed
    size_bytes = crc32 = 0
    try:
        for piece in unpack(stream, entry.packed_bytes):
            size_bytes += len(piece)
            if size_bytes > entry.size_bytes:
                break
            crc32 = zlib.crc32(piece, crc32)
            yield piece
    except zlib.error as error:
        raise Rejected(RejectReason.CORRUPT, "the packed bytes are damaged") from error
    if size_bytes != entry.size_bytes:
        raise Rejected(RejectReason.CORRUPT, "unpacks to another size than its header says")
    if crc32 != entry.crc32:
        raise Rejected(RejectReason.CORRUPT, "unpacks to another checksum than its header says")


def _seek_content(stream: BinaryIO, entry: Entry, end: int) -> None:
    """Goes to the packed bytes.

    Raises:
        Rejected: they are not where and what the directory says.
    """
    if not 0 <= entry.offset < end:
        raise Rejected(RejectReason.CORRUPT, "said to begin outside the archive")
    stream.seek(entry.offset)
    header = stream.read(LOCAL.size)
    if len(header) < LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise Rejected(RejectReason.CORRUPT, "does not begin where the directory says")
    fields = LOCAL.unpack(header)
    if stream.read(fields[9]) != entry.raw_name or not _agree(fields, entry):
        raise Rejected(RejectReason.CORRUPT, "its own header differs from the directory")
    if stream.seek(fields[10], 1) + entry.packed_bytes > end:
        raise Rejected(RejectReason.CORRUPT, "its bytes are those of another member too, or of the directory")


def _agree(local: tuple, entry: Entry) -> bool:
    """Whether a local header and the directory tell the same.

    A streamed member has its numbers behind it and zeros here; a large one has them in the extra field.
    """
    flags, method = local[2:4]
    told = zip(local[6:9], (entry.crc32, entry.packed_bytes, entry.size_bytes), strict=True)
    same_numbers = all(here in (0, IN_EXTRA_FIELD, there) for here, there in told)
    return same_numbers and method == entry.method and not (flags ^ entry.flags) & ENCRYPTED


def _packed(stream: BinaryIO, left: int) -> Iterator[bytes]:
    while left:
        piece = stream.read(min(left, PIECE_BYTES))
        if not piece:
            raise Rejected(RejectReason.CORRUPT, "the archive ends before it")
        left -= len(piece)
        yield piece


def _inflated(stream: BinaryIO, left: int) -> Iterator[bytes]:
    """Unpacks piece by piece, so that a bomb never lies in memory."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for packed in _packed(stream, left):
        yield inflater.decompress(packed, PIECE_BYTES)
        while inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, PIECE_BYTES)
        if inflater.eof:
            return
    yield inflater.flush()
