"""Some members of a ZIP become files of the folder they are unpacked in. Runs in a worker process.

What is there already, whole, is not unpacked again. Limits are tested while writing, because headers can lie.
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
from typing import BinaryIO, NamedTuple, TypeVar

from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import PIECE_BYTES, Entry, check_readable, opened, unpacked
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.members import Member
from urgency_dagster.errors import Rejected

MAX_STORED_SIZE = (1 << 63) - 1
"""The largest number that the account of the members can store; a header may claim more."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class Target:
    """Where the members of one ZIP go.

    Attributes:
        folder: the folder they are unpacked in.
        resumed: whether an earlier attempt may have left members in it.
        present: the folder of an earlier extraction, or None.
    """

    folder: Path
    resumed: bool
    present: Path | None


@dataclass(frozen=True)
class Chunk:
    """Members that one worker unpacks in one go.

    Attributes:
        kind: audio or label.
        source: the ZIP.
        members: some of its members, in its order.
        target: where they go.
        config: the limits.
    """

    kind: str
    source: LandedZip
    members: tuple[Member, ...]
    target: Target
    config: ExtractionConfig


class Outcome(NamedTuple):
    """What became of one member: its row of MEMBERS less the archive, and whether its bytes were there before."""

    row: dict
    reused: bool


def unpack_chunk(chunk: Chunk) -> list[Outcome]:
    """Writes the members of a chunk; one outcome for each, in order.

    Raises:
        ArchiveError: the ZIP cannot be read.
        OSError: the disk cannot be written.
    """
    archive = _reader(chunk.source)
    return [_outcome(archive, member, chunk) for member in chunk.members]


_readers: dict[LandedZip, tuple[ExitStack, zipfile.ZipFile]] = {}
"""The ZIP that this process reads: its list of members may be long, and is read once for many chunks."""


def _reader(source: LandedZip) -> zipfile.ZipFile:
    if source not in _readers:
        close_readers()
        stack = ExitStack()
        _readers[source] = (stack, stack.enter_context(opened(source)))
    return _readers[source][1]


def close_readers() -> None:
    """Closes what the chunks that were unpacked in this process have left open."""
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
    """Puts one member into the folder; whether its bytes were there before.

    Raises:
        Rejected: it is encrypted, damaged, or larger than the limits.
    """
    check_readable(member.entry)
    max_bytes = chunk.config.max_member_bytes(member.entry)
    file = chunk.target.folder / path
    if chunk.target.resumed:
        if is_whole(file, member.entry, max_bytes):
            return True
        # Never written into: it may be a link to a file of the present folder.
        file.unlink(missing_ok=True)
    if chunk.target.present is not None:
        former = chunk.target.present / path
        if is_whole(former, member.entry, max_bytes) and _linked(former, file):
            return True
    _write(unpacked(archive, member.entry, member.end), file, max_bytes)
    return False


def is_whole(file: Path, entry: Entry, max_bytes: int) -> bool:
    """Whether a file has the size and, byte by byte, the checksum that the directory states."""
    try:
        status = file.lstat()
        alike = stat.S_ISREG(status.st_mode) and status.st_size == entry.size_bytes <= max_bytes
        return alike and _crc32(file) == entry.crc32
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
    except OSError:  # another disk, or one without hard links
        return False
    return True


def _write(pieces: Iterator[bytes], file: Path, max_bytes: int) -> None:
    """Writes a new file; nothing of it is left when the member is rejected.

    Raises:
        Rejected: the member is damaged or too large, or its name is too long below this storage root.
    """
    try:
        with _in_its_folder(file, lambda: file.open("xb")) as stream:
            _copy(pieces, stream, max_bytes)
    except Rejected:
        file.unlink()
        raise
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise Rejected(RejectReason.UNSAFE_NAME, "the name is too long for the disk") from error


def _in_its_folder(file: Path, make: Callable[[], Made]) -> Made:
    """Makes the file, and its folder if that is missing: asking first would cost each member a system call."""
    try:
        return make()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        return make()


def _copy(pieces: Iterable[bytes], stream: BinaryIO, max_bytes: int) -> None:
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > max_bytes:
            raise Rejected(RejectReason.TOO_LARGE, f"unpacks to more than {max_bytes} bytes")
        stream.write(piece)
