"""The members of a ZIP before they are unpacked: their names, the rejections for unsafe names, and their byte ranges.

A ZIP is untrusted input. Each name is checked for its effect on the folder.
"""

import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from urgency_dagster.calls.landing.names import decoded, printable, same_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import Entry, entries, opened
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import ArchiveError, Rejected

MAX_NAME_BYTES = 255
"""Maximum bytes of a file name on Linux file systems."""

MAX_PATH_BYTES = 1024
"""Maximum bytes of a member's path: a quarter of the limit of Linux; the rest is for the storage root."""

MAX_DEPTH = 8
"""Maximum number of folders plus the file name. The members of AI Hub have no folders."""

DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"}
)
"""Names that Windows treats as devices, in any folder and with any suffix.

Source: Microsoft, Naming Files, Paths, and Namespaces.
"""

MAX_SHOWN_CHARACTERS = 500
"""Maximum characters of a member's name in tables. A ZIP header can hold 65,535 bytes."""


class Member(NamedTuple):
    """One member of a ZIP.

    Attributes:
        entry: its entry in the central directory.
        shown: its printable name.
        path: its safe POSIX path below the destination folder; None for a rejected member.
        end: the offset of the next member or of the central directory.
        reason: the reason of the rejection.
        detail: details of the rejection.
    """

    entry: Entry
    shown: str
    path: str | None
    end: int
    reason: RejectReason | None = None
    detail: str | None = None


@dataclass(frozen=True)
class ZipPlan:
    """The members of a ZIP, from its central directory.

    Attributes:
        source: the ZIP.
        suffix: the accepted file type, such as `.wav`.
        entries: the members, without folders and files of macOS.
        directory_start: the offset of the central directory, after the last member.
        colliding: the folded names that two members share, or a member and a folder.
        starts: the offsets of all members, sorted.
    """

    source: LandedZip
    suffix: str
    entries: Sequence[Entry]
    directory_start: int
    colliding: frozenset[str]
    starts: "array[int]"

    @property
    def size_bytes(self) -> int:
        """The unpacked size of all members, as the headers state it."""
        return sum(entry.size_bytes for entry in self.entries)

    def members(self) -> Iterator[Member]:
        """Yields the members in the order of the ZIP."""
        return map(self._member, self.entries)

    def _member(self, entry: Entry) -> Member:
        name = decoded(entry.raw_name)
        shown = printable(name)[:MAX_SHOWN_CHARACTERS]
        end = self._end(entry)
        try:
            return Member(entry, shown, safe_name(name, entry.mode, self.colliding, self.suffix), end)
        except Rejected as rejected:
            return Member(entry, shown, None, end, RejectReason(rejected.reason), rejected.detail)

    def _end(self, entry: Entry) -> int:
        following = bisect_right(self.starts, entry.offset)
        return self.starts[following] if following < len(self.starts) else self.directory_start


def plan_extraction(source: LandedZip, suffix: str, max_members: int) -> ZipPlan:
    """Reads the central directory of a ZIP.

    Args:
        source: the ZIP.
        suffix: the accepted file type, such as `.wav`.
        max_members: maximum number of members, without folders and files of macOS.

    Raises:
        ArchiveError: the file is not a readable ZIP, or has more members.
        OSError: the file cannot be read.
    """
    with opened(source) as archive:
        members = [entry for entry in entries(archive) if not _is_litter(entry)]
        directory_start = archive.start_dir
    if len(members) > max_members:
        raise _too_many(source, len(members), max_members)
    names = Names()
    for entry in members:
        names.add(decoded(entry.raw_name))
    starts = array("Q", sorted(entry.offset for entry in members if 0 <= entry.offset < directory_start))
    return ZipPlan(source, suffix, members, directory_start, names.colliding(), starts)


def _is_litter(entry: Entry) -> bool:
    return is_litter(decoded(entry.raw_name), entry.size_bytes)


def _too_many(source: LandedZip, count: int, max_members: int) -> ArchiveError:
    return ArchiveError(
        f"{source.name} has {count} members",
        f"at most {max_members}",
        "raise members in the run config of call_recordings if the archive is genuine",
    )


class Names:
    """Collects the names of a ZIP to find collisions."""

    def __init__(self) -> None:
        self._once: set[str] = set()
        self._again: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str) -> None:
        """Adds a member and its folders."""
        folded = folded_name(name)
        (self._again if folded in self._once else self._once).add(folded)
        self._folders.update(_folders(folded))

    def colliding(self) -> frozenset[str]:
        """The folded names that two members share, or a member and a folder of another member."""
        return frozenset(self._again | (self._once & self._folders))


def is_litter(name: str, size_bytes: int) -> bool:
    """Whether a member is a folder or a file that macOS adds. Those carry no data and are not counted."""
    *folders, last = name.split("/")
    return (not last and not size_bytes) or "__MACOSX" in folders or last == ".DS_Store" or last.startswith("._")


def relative_name(name: str) -> str:
    """The name without leading `/`, which occurs in real archives."""
    return name.lstrip("/")


def folded_name(name: str) -> str:
    """A key that is equal for two names that a file system can treat as the same file."""
    return same_name(relative_name(name))


def _folders(name: str) -> list[str]:
    """The folders above a member. Empty for a name that is too deep: it is rejected, and could have thousands."""
    folders = name.split("/")[:-1] if name.count("/") < MAX_DEPTH else []
    return list(accumulate(folders, lambda above, folder: f"{above}/{folder}"))


def safe_name(name: str, mode: int, colliding: frozenset[str], suffix: str) -> str:
    """The relative path at which a member is written.

    Args:
        name: the decoded name, see `names.decoded`.
        mode: file type and permissions of Unix, or 0.
        colliding: the folded names that are not unique.
        suffix: the accepted file type.

    Raises:
        Rejected: the path leaves the folder, is not portable, is not a regular file, collides with another name, or
            has another file type.
    """
    relative = relative_name(name)
    parts = relative.split("/")
    if not all(map(_is_plain, parts)):
        raise Rejected(RejectReason.UNSAFE_NAME, "the name leaves the folder, is reserved or is not printable")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Rejected(RejectReason.UNSAFE_NAME, "not a regular file")
    if too_long := _why_too_long(relative, parts):
        raise Rejected(RejectReason.UNSAFE_NAME, too_long)
    if folded_name(name) in colliding:
        raise Rejected(RejectReason.DUPLICATE_NAME, "another member has the same name")
    if not relative.lower().endswith(suffix):
        raise Rejected(RejectReason.UNKNOWN_TYPE, f"not a {suffix} file")
    return relative


def _is_plain(part: str) -> bool:
    """Whether a part of a path has no special meaning, here and on Windows. `:` marks drives and streams there."""
    device = part.partition(".")[0].rstrip(" ").upper()
    return part not in ("", ".", "..") and ":" not in part and part.isprintable() and device not in DEVICES


def _why_too_long(name: str, parts: list[str]) -> str:
    """Which limit a name exceeds; empty if none."""
    if len(parts) > MAX_DEPTH:
        return f"{len(parts) - 1} folders above the file; at most {MAX_DEPTH - 1}"
    sizes = ((max(len(part.encode()) for part in parts), MAX_NAME_BYTES), (len(name.encode()), MAX_PATH_BYTES))
    return next((f"a name of {size} bytes; at most {limit}" for size, limit in sizes if size > limit), "")
