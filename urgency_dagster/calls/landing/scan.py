"""Which files below `landing/` make up a ZIP, and which of them are not complete by their names and sizes.

Names and sizes are all that is looked at here; what the ZIPs are called and hold is not.
"""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls.landing.names import composed, printable, same_name
from urgency_dagster.calls.landing.parts import LandedZip

ANY_CASE = re.ASCII | re.IGNORECASE | re.DOTALL

ZIP_FILE = re.compile(r"(?P<zip>.*\.zip)(?:\.part(?P<offset>[0-9]+))?", ANY_CASE)
"""A whole ZIP, or a part of one with its first byte's offset. Source: AI Hub's shell tool `aihubshell`."""

UNFINISHED = re.compile(
    r"\.?(?P<file>.*\.(?:zip|tar))(?:\.[^.]+)?\.(?:crdownload|part|tmp|partial|filepart|download|opdownload|aria2)",
    ANY_CASE,
)
"""A file that a browser or a copying tool writes beside its target, and renames or removes in the end.

The suffixes are those of Chrome, Firefox, Edge, WinSCP, Safari, Opera and aria2; the name may carry a random word.
"""

FIREFOX = re.compile(r"(?P<stem>.*)\.[^.]+(?P<suffix>\.zip)\.part", ANY_CASE)
"""Firefox puts its random word before the suffix: `x.<random>.zip.part` becomes `x.zip`."""

RSYNC = re.compile(r"\.(?P<file>.*\.(?:zip|tar)(?:\.part[0-9]+)?)\.[a-z0-9]{6}", ANY_CASE)
"""A hidden file with six random characters. Source: rsync(1), option `--temp-dir`."""

MAY_MATTER = re.compile(r"(?!\._).*\.(?:zip|tar)", ANY_CASE)
"""The names of all of these begin so, those of macOS's side files (`._*`) do not.

One look at it spares the unpacked trees that people keep beside their ZIPs.
"""

TAR = re.compile(r".*\.tar", ANY_CASE)

TAR_WAITS = (
    "not opened, because nothing but you writes to the landing folder; unpack it there (tar -xf), then delete it"
)
SET_ASIDE = "in a folder where copying tools keep unfinished files; move it out to use it"
NO_FILE = "a folder, not a file"
LINKED_FOLDER = "a link to a folder, which is not followed; link the ZIPs themselves, or the whole landing folder"


@dataclass(frozen=True)
class FoundZip:
    """A ZIP that lies in the landing folder.

    Attributes:
        zip: its files.
        problem: why it cannot be complete, or an empty text.
    """

    zip: LandedZip
    problem: str


@dataclass(frozen=True)
class Findings:
    """What lies in the landing folder, less the files that have nothing to do with ZIPs.

    Attributes:
        zips: every ZIP that is there at least in part.
        problems: the other files that matter, and folders that cannot be read, with the reason why they are no use.
    """

    zips: list[FoundZip] = field(default_factory=list)
    problems: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Shelf:
    """The files of one folder by the ZIP that they belong to."""

    wholes: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[str, list[tuple[int, Path]]] = field(default_factory=lambda: defaultdict(list))
    unfinished: dict[str, Path] = field(default_factory=dict)


def find_zips(folder: Path) -> Findings:
    """Every ZIP below `folder`, at any depth; nothing when there is no such folder. Links to files are followed."""
    found = Findings()
    for parent, entries in _folders(folder, found):
        aside = any(_is_set_aside(part) for part in parent.relative_to(folder).parts)
        shelf = _Shelf()
        for entry in entries:
            if _is_folder(entry) and entry.is_symlink():
                found.problems[parent / entry.name] = LINKED_FOLDER
            elif MAY_MATTER.match(entry.name):
                _sort_in(entry, parent / entry.name, aside, shelf, found)
        found.zips.extend(_on_shelf(shelf))
    return found


def _folders(top: Path, found: Findings) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """Yields each folder with its entries, sorted. No recursion: a path may be two thousand folders deep."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except FileNotFoundError:  # gone since it was listed, or nothing has landed yet
            continue
        except OSError as error:
            found.problems[folder] = f"cannot be read ({error.strerror})"
            continue
        yield folder, entries
        waiting += [folder / entry.name for entry in reversed(entries) if _is_folder(entry) and not entry.is_symlink()]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_set_aside(folder: str) -> bool:
    """Whether a folder is hidden (rsync's, the waste basket's) or a download of Safari, which is a folder."""
    return folder.startswith(".") or UNFINISHED.fullmatch(composed(folder)) is not None


def _sort_in(entry: os.DirEntry[str], path: Path, aside: bool, shelf: _Shelf, found: Findings) -> None:
    name = composed(entry.name)
    is_folder = _is_folder(entry)
    targets = _unfinished(name)
    match = ZIP_FILE.fullmatch(name)
    if targets:
        found.problems[path] = f"an unfinished {targets[-1]}: still being copied; delete it if that was given up"
        shelf.unfinished.update({same_name(target): path for target in targets})
    elif not match and not TAR.fullmatch(name):
        return
    elif is_folder or aside:
        found.problems[path] = NO_FILE if is_folder else SET_ASIDE
    elif not match:
        found.problems[path] = TAR_WAITS
    elif match["offset"] is None:
        shelf.wholes[same_name(name)].append(path)
    else:
        shelf.parts[same_name(match["zip"])].append((int(match["offset"]), path))


def _unfinished(name: str) -> list[str]:
    """The files that this one may become, the likeliest last; none when it is no unfinished copy."""
    # A part that is still being copied makes its whole ZIP wait.
    targets = [match["file"] for pattern in (UNFINISHED, RSYNC) if (match := pattern.fullmatch(name))]
    targets += [match["stem"] + match["suffix"] for match in [FIREFOX.fullmatch(name)] if match]
    return [_less_part(target) for target in targets]


def _less_part(name: str) -> str:
    match = ZIP_FILE.fullmatch(name)
    return match["zip"] if match else name


def _on_shelf(shelf: _Shelf) -> Iterator[FoundZip]:
    for key, paths in shelf.wholes.items():
        both = "its parts lie beside it and may still be joined; leave either it or them" if key in shelf.parts else ""
        for path in paths:
            landed = LandedZip(composed(path.name), (path,))
            yield FoundZip(landed, _no_files(landed) or both or _beside(key, shelf))
    for key, numbered in shelf.parts.items():
        numbered.sort()
        first = composed(numbered[0][1].name)
        landed = LandedZip(_less_part(first), tuple(path for _, path in numbered))
        both = f"{landed.name} lies beside it and may still be written; leave either it or its parts"
        problem = (
            _no_files(landed)
            or (both if key in shelf.wholes else "")
            or _gap(landed, [offset for offset, _ in numbered])
        )
        yield FoundZip(landed, problem or _beside(key, shelf))


def _beside(key: str, shelf: _Shelf) -> str:
    if key not in shelf.unfinished:
        return ""
    return f"{printable(shelf.unfinished[key].name)} lies beside it, so it is still being copied"


def _no_files(landed: LandedZip) -> str:
    """The first part that is no file which can be read."""
    reasons = ((part, _no_file(part)) for part in landed.parts)
    part, reason = next(((part, reason) for part, reason in reasons if reason), (None, ""))
    return f"{printable(part.name)} is {reason}" if part and len(landed.parts) > 1 else reason


def _no_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        return "a link to a file that is not there" if gone else f"unreadable ({error.strerror})"
    if not stat.S_ISREG(mode):
        return "no regular file"
    return "" if os.access(path, os.R_OK) else "unreadable (no permission)"


def _gap(landed: LandedZip, offsets: list[int]) -> str:
    """Where the parts do not follow each other, which the offsets in their names tell."""
    end, before = 0, -1
    for offset, part, size in zip(offsets, landed.parts, landed.fingerprint()[::3], strict=True):
        if offset > end:
            missing = f"{landed.name}.part{end}"
            return f"bytes {end} to {offset} are missing: {missing} has not landed, or the part before it is short"
        if offset < end or offset == before:
            return f"{printable(part.name)} begins before the part before it ends, at byte {end}"
        end, before = end + size, offset
    return ""
