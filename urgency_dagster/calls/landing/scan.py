"""The files below `landing/` that form ZIPs, and the incomplete ones among them.

Only names and sizes are read here, not the content.
"""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls.landing.formats import ANY_CASE, unread_format
from urgency_dagster.calls.landing.landed_tables import TABLE_SUFFIXES, LandedTable, tables_in
from urgency_dagster.calls.landing.names import composed, printable, same_name
from urgency_dagster.calls.landing.parts import LandedZip, Slice
from urgency_dagster.calls.landing.tars import TarMember

ZIP_FILE = re.compile(r"(?P<zip>.*\.zip)(?:\.part(?P<offset>[0-9]+))?", ANY_CASE)
"""A complete ZIP, or a part of one with the offset of its first byte. Source: AI Hub's shell tool `aihubshell`."""

TEMPORARY_SUFFIX = r"\.(?:crdownload|part|tmp|partial|filepart|download|opdownload|aria2)"
"""The end of a temporary file of Chrome, Firefox, Edge, WinSCP, Safari, Opera or aria2."""

UNFINISHED = re.compile(rf"\.?(?P<file>.*\.(?:zip|tar|csv|npy))(?:\.[^.]+)?{TEMPORARY_SUFFIX}", ANY_CASE)
"""A temporary file of a browser or a copying tool, beside its target. The name can have a random part."""

FIREFOX = re.compile(r"(?P<stem>.*)\.[^.]+(?P<suffix>\.zip)\.part", ANY_CASE)
"""A temporary file of Firefox: `x.<random>.zip.part` becomes `x.zip`."""

RSYNC = re.compile(r"\.(?P<file>.*\.(?:zip|tar)(?:\.part[0-9]+)?)\.[a-z0-9]{6}", ANY_CASE)
"""A temporary file of rsync: hidden, with six random characters. Source: rsync(1), option `--temp-dir`."""

CANDIDATE = re.compile(r"(?!\._).*\.(?:zip|tar|7z|rar|alz|egg|tgz|tbz|txz|z[0-9]{2}|csv|npy)", ANY_CASE)
"""The start of all names above, and of those in `formats`. The side files of macOS (`._*`) do not match.

It skips unpacked files beside the ZIPs with one comparison each.
"""

TAR = re.compile(r".*\.tar", ANY_CASE)

TEMPORARY_FOLDER = "in a folder where copying tools keep unfinished files; move it out to use it"
NO_FILE = "a folder, not a file"
LINKED_FOLDER = "a link to a folder, which is not followed; link the ZIPs themselves, or the whole landing folder"


@dataclass(frozen=True)
class FoundZip:
    """A ZIP in the landing folder.

    Attributes:
        zip: its files.
        problem: why it is incomplete, or an empty text.
    """

    zip: LandedZip
    problem: str


@dataclass(frozen=True)
class LandedFiles:
    """The result of a search for ZIPs.

    Attributes:
        zips: every ZIP of which at least one part exists.
        tars: every tar that can be read as far as its name and its neighbours tell.
        tables: every CSV of the original's scripts with the NPY file of its vectors.
        elsewhere: for the key of a ZIP, the name of a file of it that cannot be read.
        problems: other files of ZIPs, and unreadable folders, with the reason why they cannot be used.
    """

    zips: list[FoundZip] = field(default_factory=list)
    tars: list[Path] = field(default_factory=list)
    tables: list[LandedTable] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    problems: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _FolderFiles:
    """The files of one folder, by the key of their ZIP."""

    wholes: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[str, list[tuple[int, Path]]] = field(default_factory=lambda: defaultdict(list))
    tars: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    unfinished: dict[str, Path] = field(default_factory=dict)


def find_zips(folder: Path) -> LandedFiles:
    """Finds every ZIP below a folder, at any depth. Links to files are followed. A missing folder counts as empty."""
    result = LandedFiles()
    for parent, entries in walk_folders(folder, result.problems):
        is_temporary = any(_is_temporary(part) for part in parent.relative_to(folder).parts)
        files = _FolderFiles()
        for entry in entries:
            if is_folder(entry) and entry.is_symlink():
                result.problems[parent / entry.name] = LINKED_FOLDER
            elif CANDIDATE.match(entry.name):
                _sort_in(entry, parent / entry.name, is_temporary, files, result)
        result.zips.extend(_zips_in(files))
        _add_tars_and_tables(files, result)
    return result


def _add_tars_and_tables(files: _FolderFiles, result: LandedFiles) -> None:
    """Adds the tars and the tables of one folder, or the reasons why they cannot be used."""
    problems = {path: no_file(path) or _beside(same_name(path.name), files) for path in (*files.tars, *files.tables)}
    result.tars.extend(tar for tar in files.tars if not problems[tar])
    for found, reason in tables_in(files.tables):
        parts = found if isinstance(found, LandedTable) else (found,)
        if isinstance(found, LandedTable) and not any(problems[part] for part in parts):
            result.tables.append(found)
            continue
        waits = next((f"{part.name} {problems[part]}" for part in parts if problems[part]), "")
        problems |= {part: problems[part] or reason or f"waits for its table: {waits}" for part in parts}
    result.problems.update({path: problem for path, problem in problems.items() if problem})


def walk_folders(top: Path, problems: dict[Path, str]) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """Yields each folder with its sorted entries. Links are not followed. A missing folder counts as empty.

    It is not recursive: a path can be two thousand folders deep.

    Args:
        top: the first folder.
        problems: receives the folders that cannot be read, with the reason.
    """
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except FileNotFoundError:  # deleted since it was listed, or nothing has landed yet
            continue
        except OSError as error:
            problems[folder] = f"cannot be read ({error.strerror})"
            continue
        yield folder, entries
        waiting += [folder / entry.name for entry in reversed(entries) if is_folder(entry) and not entry.is_symlink()]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_temporary(folder: str) -> bool:
    """Whether a folder is hidden, as those of rsync and the trash are, or is an unfinished download of Safari."""
    return folder.startswith(".") or UNFINISHED.fullmatch(composed(folder)) is not None


def _sort_in(entry: os.DirEntry[str], path: Path, is_temporary: bool, files: _FolderFiles, result: LandedFiles) -> None:
    name = composed(entry.name)
    is_a_folder = is_folder(entry)
    targets = _unfinished(name)
    match = ZIP_FILE.fullmatch(name)
    if targets:
        result.problems[path] = f"an unfinished {targets[-1]}: still being copied; delete it if that was given up"
        files.unfinished.update({same_name(target): path for target in targets})
        result.elsewhere.update({same_name(target): printable(name) for target in targets})
    elif not match and not TAR.fullmatch(name):
        if not (is_a_folder or is_temporary):
            _sort_other(path, name, files, result)
    elif is_a_folder or is_temporary:
        result.problems[path] = NO_FILE if is_a_folder else TEMPORARY_FOLDER
    elif not match:
        files.tars.append(path)
    elif match["offset"] is None:
        files.wholes[same_name(name)].append(path)
    else:
        files.parts[same_name(match["zip"])].append((int(match["offset"]), path))


def _sort_other(path: Path, name: str, files: _FolderFiles, result: LandedFiles) -> None:
    unread = unread_format(name)
    if unread:
        result.problems[path] = unread.reason
        result.elsewhere[same_name(unread.zip_name)] = printable(name)
    elif path.suffix.lower() in TABLE_SUFFIXES:
        files.tables.append(path)


def _unfinished(name: str) -> list[str]:
    """The possible target names of a temporary file, the likeliest last; empty for other files."""
    # A part that is still being copied makes its ZIP incomplete.
    targets = [match["file"] for pattern in (UNFINISHED, RSYNC) if (match := pattern.fullmatch(name))]
    targets += [match["stem"] + match["suffix"] for match in [FIREFOX.fullmatch(name)] if match]
    return [_without_part(target) for target in targets]


def _without_part(name: str) -> str:
    match = ZIP_FILE.fullmatch(name)
    return match["zip"] if match else name


def _zips_in(files: _FolderFiles) -> Iterator[FoundZip]:
    for key, paths in files.wholes.items():
        both = "its parts lie beside it and may still be joined; leave either it or them" if key in files.parts else ""
        for path in paths:
            landed = LandedZip(composed(path.name), (path,))
            yield FoundZip(landed, _no_files(landed) or both or _beside(key, files))
    for key, numbered in files.parts.items():
        numbered.sort()
        first = composed(numbered[0][1].name)
        landed = LandedZip(_without_part(first), tuple(path for _, path in numbered))
        both = f"{landed.name} lies beside it and may still be written; leave either it or its parts"
        problem = (
            _no_files(landed)
            or (both if key in files.wholes else "")
            or _gap(landed, [offset for offset, _ in numbered])
        )
        yield FoundZip(landed, problem or _beside(key, files))


def zips_in_tar(tar: Path, members: Sequence[TarMember]) -> Iterator[FoundZip]:
    """Yields the ZIPs in a tar: whole members, and parts that form one.

    Args:
        tar: the file.
        members: its regular files.
    """
    parts: dict[str, list[tuple[int, TarMember]]] = defaultdict(list)
    for member in members:
        match = ZIP_FILE.fullmatch(member.name)
        if match is None or member.name.rpartition("/")[2].startswith("._"):
            continue
        if match["offset"] is None:
            yield FoundZip(_of_members(tar, [member]), "")
        else:
            parts[same_name(match["zip"])].append((int(match["offset"]), member))
    for numbered in parts.values():
        numbered.sort()
        landed = _of_members(tar, [member for _, member in numbered])
        yield FoundZip(landed, _gap(landed, [offset for offset, _ in numbered]))


def _of_members(tar: Path, members: Sequence[TarMember]) -> LandedZip:
    name = _without_part(members[0].name.rpartition("/")[2])
    slices = tuple(Slice(member.start, member.size, member.name) for member in members)
    return LandedZip(name, (tar,) * len(members), slices)


def _beside(key: str, files: _FolderFiles) -> str:
    if key not in files.unfinished:
        return ""
    return f"{printable(files.unfinished[key].name)} lies beside it, so it is still being copied"


def _no_files(landed: LandedZip) -> str:
    """Why a part cannot be read; empty if all can."""
    reasons = ((part, no_file(part)) for part in landed.parts)
    part, reason = next(((part, reason) for part, reason in reasons if reason), (None, ""))
    return f"{printable(part.name)} is {reason}" if part and len(landed.parts) > 1 else reason


def no_file(path: Path) -> str:
    """Why a path is no file that can be read; empty if it is one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        return "a link to a file that is not there" if gone else f"unreadable ({error.strerror})"
    if not stat.S_ISREG(mode):
        return "no regular file"
    return "" if os.access(path, os.R_OK) else "unreadable (no permission)"


def _gap(landed: LandedZip, offsets: list[int]) -> str:
    """Where a part is missing or two parts overlap, from the offsets in their names; empty if they are complete."""
    end, before = 0, -1
    for offset, part, size in zip(offsets, landed.shown, landed.sizes, strict=True):
        if offset > end:
            missing = f"{landed.name}.part{end}"
            return f"bytes {end} to {offset} are missing: {missing} has not landed, or the part before it is short"
        if offset < end or offset == before:
            return f"{printable(part.name)} begins before the part before it ends, at byte {end}"
        end, before = end + size, offset
    return ""
