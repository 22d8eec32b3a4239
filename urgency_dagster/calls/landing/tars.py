"""The members of a `download.tar`, which AI Hub's shell tool leaves. It is read in place, like the parts of a ZIP are.

Only the headers are read. `tarfile` is not used to list them: it takes a damaged header for the end, reads names of any
length into memory, and follows a negative size backwards.
"""

import json
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from urgency_dagster.calls.landing.names import decoded
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.errors import ArchiveError

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a header. Contents are padded to a multiple of them."""

MAX_NAME_BYTES = 1 << 16
"""Maximum bytes of a long name, or of the extended header of one member."""

MAX_MEMBERS = 100_000
"""Maximum members. The data set has 48 ZIPs, and parts of 1 GB of them."""

NOT_WHOLE_TAR = "not a complete tar; still being downloaded, or damaged"

LONG_NAME, EXTENDED = tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class TarMember(NamedTuple):
    """A regular file in a tar: its path in it, the offset of its first byte, and its size in bytes."""

    name: str
    start: int
    size: int


def tar_listing(landed: LandedZip) -> str:
    """The regular files of a tar as JSON, or the reason why it cannot be read. Only a JSON text begins with `[`.

    Raises:
        ArchiveError: the file itself cannot be read.
    """
    try:
        with landed.open() as stream:
            return json.dumps([*tar_members(stream, landed.size_bytes)])
    except tarfile.TarError:
        return NOT_WHOLE_TAR
    except OSError as error:
        raise ArchiveError(f"cannot be read ({error.strerror})", "a file that can be read", "copy it again") from error


def listed_members(listing: str) -> list[TarMember] | None:
    """The members of a listing, or None if it is a reason."""
    return [TarMember(*member) for member in json.loads(listing)] if listing.startswith("[") else None


def tar_members(stream: BinaryIO, size_bytes: int) -> Iterator[TarMember]:
    """Yields the regular files of a tar, in order.

    Raises:
        TarError: a header is damaged, or the file ends before the two empty blocks that end a tar.
    """
    start, name, size = 0, b"", None
    for _ in range(3 * MAX_MEMBERS):  # a member can have two headers before its own
        header = _read(stream, start, BLOCK)
        if not any(header):
            if any(_read(stream, start + BLOCK, BLOCK)):
                raise tarfile.ReadError("an empty block inside")
            return
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        content = start + BLOCK
        length = info.size if size is None or info.type in (LONG_NAME, EXTENDED) else size
        if length < 0 or content + length > size_bytes:
            raise tarfile.ReadError("a member ends after the file")
        start = content + -(-length // BLOCK) * BLOCK
        if info.type == LONG_NAME:
            name = _read(stream, content, length).rstrip(b"\0")
        elif info.type == EXTENDED:
            name, size = _extended(_read(stream, content, length), name)
        else:
            if info.type in REGULAR:
                yield TarMember(decoded(name or info.name.encode("utf-8", "surrogateescape")), content, length)
            name, size = b"", None
    raise tarfile.ReadError("too many members")


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    if length > MAX_NAME_BYTES:
        raise tarfile.ReadError("a name that is too long")
    stream.seek(start)
    content = stream.read(length)
    if len(content) < length:
        raise tarfile.ReadError("it ends inside a header")
    return content


def _extended(records: bytes, name: bytes) -> tuple[bytes, int | None]:
    """The path and the size in an extended header: lines of `<length> <keyword>=<value>`.

    Source: POSIX pax, Extended Header.
    """
    size = None
    while records:
        length, _, rest = records.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(records):
            raise tarfile.ReadError("a damaged extended header")
        keyword, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        records = records[int(length) :]
        if keyword == b"path":
            name = value
        elif keyword == b"size":
            size = _number(value)
    return name, size


def _number(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise tarfile.ReadError("a damaged size")
    return int(value)
