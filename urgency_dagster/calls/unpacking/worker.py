"""The work of one worker process: some members of a ZIP become files.

Complete files are reused. The limits are checked while a member is written, because the sizes in a header can be wrong.
"""

import errno
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import PIECE_BYTES, Entry, check_readable, opened, unpacked
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.members import Member
from urgency_dagster.errors import Rejected

MAX_STORED_SIZE = (1 << 63) - 1
"""The largest size that the member table can store; a header can claim a larger one."""

Created = TypeVar("Created")


@dataclass(frozen=True)
class Destination:
    """The folder of the members of one ZIP.

    Attributes:
        folder: the folder in which they are unpacked.
        resumed: whether `folder` can contain members of an interrupted extraction.
        former: the folder of the former extraction, or None.
    """

    folder: Path
    resumed: bool
    former: Path | None


@dataclass(frozen=True)
class Chunk:
    """The task of one worker.

    Attributes:
        kind: audio or label.
        source: the ZIP.
        members: some of its members, in order.
        destination: their folder.
        config: the limits.
    """

    kind: str
    source: LandedZip
    members: tuple[Member, ...]
    destination: Destination
    config: ExtractionConfig


class Outcome(NamedTuple):
    """The result for one member.

    Attributes:
        row: the row of MEMBERS, without the column `archive`.
        reused: whether a file with its content existed.
    """

    row: dict[str, Any]
    reused: bool


def unpack_chunk(chunk: Chunk) -> list[Outcome]:
    """Writes the members of a chunk; returns their outcomes in order.

    Raises:
        ArchiveError: the ZIP cannot be read.
        OSError: the disk cannot be written.
    """
    archive = _reader(chunk.source)
    return [_outcome(archive, member, chunk) for member in chunk.members]


_readers: dict[LandedZip, tuple[ExitStack, zipfile.ZipFile]] = {}
"""The open ZIP of this process. Its central directory can be long, and is read once for many chunks."""


def _reader(source: LandedZip) -> zipfile.ZipFile:
    if source not in _readers:
        close_readers()
        stack = ExitStack()
        _readers[source] = (stack, stack.enter_context(opened(source)))
    return _readers[source][1]


def close_readers() -> None:
    """Closes the open ZIP of this process."""
    for stack, _ in _readers.values():
        stack.close()
    _readers.clear()


def _outcome(archive: zipfile.ZipFile, member: Member, chunk: Chunk) -> Outcome:
    row = {
        "kind": chunk.kind,
        "member": member.shown,
        "path": None,
        "size_bytes": min(member.entry.size_bytes, MAX_STORED_SIZE),
        "crc32": member.entry.crc32,
        "reason": member.reason,
        "detail": member.detail,
    }
    if member.path is None:
        return Outcome(row, reused=False)
    try:
        reused = _place(archive, member, member.path, chunk)
    except Rejected as rejected:
        return Outcome({**row, "reason": rejected.reason, "detail": rejected.detail}, reused=False)
    return Outcome({**row, "path": member.path}, reused)


def _place(archive: zipfile.ZipFile, member: Member, path: str, chunk: Chunk) -> bool:
    """Puts one member into the folder; returns whether an existing file was reused.

    Raises:
        Rejected: the member is encrypted, damaged, or exceeds the limits.
    """
    check_readable(member.entry)
    max_bytes = chunk.config.max_member_bytes(member.entry)
    file = chunk.destination.folder / path
    if chunk.destination.resumed:
        if is_complete(file, member.entry, max_bytes):
            return True
        # Removed and not overwritten: it can be a hard link to a file of the former folder.
        file.unlink(missing_ok=True)
    if chunk.destination.former is not None:
        former = chunk.destination.former / path
        if is_complete(former, member.entry, max_bytes) and _linked(former, file):
            return True
    _write(unpacked(archive, member.entry, member.end), file, max_bytes)
    return False


def is_complete(file: Path, entry: Entry, max_bytes: int) -> bool:
    """Whether a regular file has the size and the CRC-32 of a member. The file is read completely."""
    try:
        status = file.lstat()
        has_size = stat.S_ISREG(status.st_mode) and status.st_size == entry.size_bytes <= max_bytes
        return has_size and _crc32(file) == entry.crc32
    except OSError:
        return False


def _crc32(file: Path) -> int:
    crc32 = 0
    with file.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            crc32 = zlib.crc32(piece, crc32)
    return crc32


def _linked(former: Path, file: Path) -> bool:
    try:
        _in_its_folder(file, lambda: os.link(former, file))
    except OSError:  # another disk, or a file system without hard links
        return False
    return True


def _write(pieces: Iterator[bytes], file: Path, max_bytes: int) -> None:
    """Writes a new file; it is removed when the member is rejected.

    Raises:
        Rejected: the member is damaged or too large, or its path is too long below this storage root.
    """
    try:
        with _in_its_folder(file, lambda: file.open("xb")) as stream:
            copy_bounded(pieces, stream, max_bytes)
    except Rejected:
        file.unlink()
        raise
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise Rejected(RejectReason.UNSAFE_NAME, "the name is too long for the disk") from error


def _in_its_folder(file: Path, create: Callable[[], Created]) -> Created:
    """Creates a file, and its folder only after a failure: checking first would cost one system call per member."""
    try:
        return create()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        return create()


def copy_bounded(pieces: Iterable[bytes], stream: BinaryIO, max_bytes: int) -> None:
    """Writes the pieces of a member.

    Raises:
        Rejected: they have more bytes than the limit.
    """
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > max_bytes:
            raise Rejected(RejectReason.TOO_LARGE, f"unpacks to more than {max_bytes} bytes")
        stream.write(piece)
