"""What the members of a ZIP are called, which are refused for their name, and which bytes of the ZIP are theirs.

Nothing is unpacked here. A ZIP is untrusted input: its names are tested for what they would do to a folder.
"""

import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from urgency_dagster.calls.landing.names import composed, printable, same_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import Entry, entries, opened
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import ArchiveError, Rejected

MAX_NAME_BYTES = 255
"""The longest file name that Linux file systems store."""

MAX_PATH_BYTES = 1024
"""The longest name with its folders: a quarter of what Linux takes as a path, the rest is for the storage root."""

MAX_DEPTH = 8
"""Folders and name of a member; AI Hub's are flat."""

DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"}
)
"""What Windows takes for a device in any folder and with any ending. Source: Microsoft, Naming Files, Paths, and
Namespaces."""

MAX_SHOWN_CHARACTERS = 500
"""Characters of a member's name that are recorded; a header has room for 65,535 bytes."""


class Member(NamedTuple):
    """One member that is accounted for.

    Attributes:
        entry: what the directory says about it.
        shown: its name, as it can be stored and shown.
        path: its safe name below the target folder, POSIX; None when it is refused.
        end: where the next member or the directory begins.
        reason: why it is refused.
        detail: more about that.
    """

    entry: Entry
    shown: str
    path: str | None
    end: int
    reason: RejectReason | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is known of a ZIP after its directory was read.

    Attributes:
        source: the ZIP.
        suffix: the file type that is wanted, such as `.wav`.
        entries: the members, less litter.
        directory_start: where the members end and the directory begins.
        colliding: the folded names that more than one member has, or a member and a folder.
        starts: where members begin, sorted.
    """

    source: LandedZip
    suffix: str
    entries: Sequence[Entry]
    directory_start: int
    colliding: frozenset[str]
    starts: "array[int]"

    @property
    def size_bytes(self) -> int:
        """What the members unpack to, if their headers are right."""
        return sum(entry.size_bytes for entry in self.entries)

    def members(self) -> Iterator[Member]:
        """The members in the ZIP's order."""
        return map(self._member, self.entries)

    def _member(self, entry: Entry) -> Member:
        name = member_name(entry.raw_name)
        shown = printable(name)[:MAX_SHOWN_CHARACTERS]
        end = self._end(entry)
        try:
            return Member(entry, shown, safe_name(name, entry.mode, self.colliding, self.suffix), end)
        except Rejected as rejected:
            return Member(entry, shown, None, end, RejectReason(rejected.reason), rejected.detail)

    def _end(self, entry: Entry) -> int:
        following = bisect_right(self.starts, entry.offset)
        return self.starts[following] if following < len(self.starts) else self.directory_start


def survey(source: LandedZip, suffix: str, max_members: int) -> Plan:
    """Reads the directory of a ZIP.

    Args:
        source: the ZIP.
        suffix: the file type that is wanted, such as `.wav`.
        max_members: members it may have, less litter.

    Raises:
        ArchiveError: it cannot be read as a ZIP, or has more members.
        OSError: its file cannot be read.
    """
    with opened(source) as archive:
        found = [entry for entry in entries(archive) if not _is_litter(entry)]
        directory_start = archive.start_dir
    if len(found) > max_members:
        raise _too_many(source, len(found), max_members)
    names = Names()
    for entry in found:
        names.add(member_name(entry.raw_name))
    starts = array("Q", sorted(entry.offset for entry in found if 0 <= entry.offset < directory_start))
    return Plan(source, suffix, found, directory_start, names.colliding(), starts)


def _is_litter(entry: Entry) -> bool:
    return is_litter(member_name(entry.raw_name), entry.size_bytes)


def _too_many(source: LandedZip, count: int, max_members: int) -> ArchiveError:
    return ArchiveError(
        f"{source.name} has {count} members",
        f"at most {max_members}",
        "raise members in the run config of call_recordings if the archive is genuine",
    )


class Names:
    """Collects the names of a ZIP to find those that collide."""

    def __init__(self) -> None:
        self._once: set[str] = set()
        self._again: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str) -> None:
        """Takes note of a member and of the folders it lies in."""
        folded = folded_name(name)
        (self._again if folded in self._once else self._once).add(folded)
        self._folders.update(_folders(folded))

    def colliding(self) -> frozenset[str]:
        """The folded names that two members have, or a member and a folder of another member."""
        return frozenset(self._again | (self._once & self._folders))


def member_name(raw_name: bytes) -> str:
    """The name in NFC, with `/` between its folders.

    The flag of UTF-8 is not asked: UTF-8 is tried first in any case, then CP949. CP437, the code page of the format,
    has a letter for each byte. Backslashes are looked for after decoding; CP949 has no letter with their byte.
    """
    for encoding in ("utf-8", "cp949", "cp437"):
        try:
            name = raw_name.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    return composed(name).replace("\\", "/")


def is_litter(name: str, size_bytes: int) -> bool:
    """Whether it is a folder or what macOS leaves behind. Those carry no data and are not accounted for."""
    *folders, last = name.split("/")
    return (not last and not size_bytes) or "__MACOSX" in folders or last == ".DS_Store" or last.startswith("._")


def relative_name(name: str) -> str:
    """The name below the target folder: a leading `/`, which real copies carry, is stripped."""
    return name.lstrip("/")


def folded_name(name: str) -> str:
    """What two names have in common that a file system may take for one."""
    return same_name(relative_name(name))


def _folders(name: str) -> list[str]:
    """The folders above a member; none for names too deep to be accepted, which could hold thousands."""
    folders = name.split("/")[:-1] if name.count("/") < MAX_DEPTH else []
    return list(accumulate(folders, lambda above, folder: f"{above}/{folder}"))


def safe_name(name: str, mode: int, colliding: frozenset[str], suffix: str) -> str:
    """The relative name under which a member may be written.

    Args:
        name: as `member_name` gives it.
        mode: file type and permissions of Unix, or 0.
        colliding: the folded names that are not unique.
        suffix: the file type that is wanted.

    Raises:
        Rejected: the name leaves the folder or could not be stored everywhere, it is no file, the name collides with
            another, or it has another type.
    """
    relative = relative_name(name)
    parts = relative.split("/")
    if not all(map(_is_plain, parts)):
        raise Rejected(RejectReason.UNSAFE_NAME, "the name leaves the folder, is reserved or is not printable")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Rejected(RejectReason.UNSAFE_NAME, "not a regular file")
    if _is_too_long(relative, parts):
        raise Rejected(RejectReason.UNSAFE_NAME, "the name is too long or too deep")
    if folded_name(name) in colliding:
        raise Rejected(RejectReason.DUPLICATE_NAME, "another member has the same name")
    if not relative.lower().endswith(suffix):
        raise Rejected(RejectReason.UNKNOWN_TYPE, f"not a {suffix} file")
    return relative


def _is_plain(part: str) -> bool:
    """Whether a part of a name means nothing but itself, here and on Windows. `:` ends drive letters and streams."""
    device = part.partition(".")[0].rstrip(" ").upper()
    return part not in ("", ".", "..") and ":" not in part and part.isprintable() and device not in DEVICES


def _is_too_long(name: str, parts: list[str]) -> bool:
    longest = max(len(part.encode()) for part in parts)
    return longest > MAX_NAME_BYTES or len(parts) > MAX_DEPTH or len(name.encode()) > MAX_PATH_BYTES
