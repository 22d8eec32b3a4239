"""The archives of recordings in `landing/scoring`, and the reasons why other files cannot be used.

Each entry of the folder is one archive: a ZIP, or a folder with everything below it. The recordings that lie in
`landing/scoring` itself are one archive too.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls import (
    LandedZip,
    LandingCache,
    composed,
    is_folder,
    is_litter,
    printable,
    same_name,
    walk_folders,
)
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster.scoring.recordings.file_types import FileType, file_type

LOOSE = "loose_recordings"
"""The archive of the recordings that lie in `landing/scoring` itself."""

MAX_NAME_BYTES = 200
"""Maximum bytes of an archive's name: it becomes the name of a folder and of files with a suffix."""

BAD_NAME = (
    "its name cannot be that of an archive: it is hidden, too long, not printable, or holds three dots; rename it"
)
LINKED_FOLDER = "a link to a folder, which is not followed; move the folder itself here"
NO_RECORDING = "holds no recording and no ZIP"
NO_RECORDING_BESIDE = "no recording lies beside it"


@dataclass(frozen=True)
class ScoringArchive:
    """Recordings that landed together; the name is the partition key.

    Attributes:
        name: the name of the ZIP without `.zip`, of the folder, or LOOSE.
        top: the landing folder, to which names are relative.
        sources: what `find_recordings` receives.
        files: the files whose content counts, by their name: recordings, labels and ZIPs.
        others: the names of other files, which are only rejected.
    """

    name: str
    top: Path
    sources: tuple[Path, ...]
    files: dict[str, LandedZip] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The bytes of the files whose content counts."""
        return sum(file.size_bytes for file in self.files.values())


@dataclass(frozen=True)
class ScoringLanding:
    """The result of a scan of `landing/scoring`.

    Attributes:
        folder: the landing folder.
        archives: the archives by name.
        problems: for every file or folder outside an archive, by its name, the reason why it cannot be used.
    """

    folder: Path
    archives: dict[str, ScoringArchive] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def refuse(self, path: Path, reason: str) -> None:
        """Adds a file or folder that cannot be used."""
        self.problems[printable(path.name)] = reason


def scan_scoring(folder: Path, cache: LandingCache | None = None) -> ScoringLanding:
    """Finds the archives of recordings in a folder. Only names, sizes and lists of ZIP members are read.

    Args:
        folder: the landing folder. A missing one counts as empty.
        cache: results of former scans. Without it, ZIPs are not checked.
    """
    landing = ScoringLanding(folder)
    named: dict[str, list[ScoringArchive]] = defaultdict(list)
    for archive in _candidates(landing, cache):
        named[same_name(archive.name)].append(archive)
    for _, archives in sorted(named.items()):
        if len(archives) == 1:
            landing.archives[archives[0].name] = archives[0]
            continue
        for source in (source for archive in archives for source in archive.sources):
            landing.refuse(source, f"another input is named {archives[0].name} too; rename one of them")
    return landing


def _candidates(landing: ScoringLanding, cache: LandingCache | None) -> Iterator[ScoringArchive]:
    """Yields the archives, whose names may be equal, and refuses the other entries."""
    loose: dict[Path, FileType] = {}
    for entry in _entries(landing):
        path = Path(entry.path)
        if is_folder(entry):
            yield from _folder_archive(path, landing)
            continue
        try:
            kind = file_type(composed(entry.name))
        except Rejected as rejected:
            landing.refuse(path, rejected.detail)
            continue
        if kind is FileType.ZIP:
            yield from _zip_archive(path, landing, cache)
        else:
            loose[path] = kind
    if FileType.AUDIO in loose.values():
        yield ScoringArchive(
            LOOSE, landing.folder, tuple(loose), {printable(path.name): LandedZip.whole(path) for path in loose}
        )
        return
    for path in loose:
        landing.refuse(path, NO_RECORDING_BESIDE)


def _entries(landing: ScoringLanding) -> list[os.DirEntry[str]]:
    """The entries of the landing folder by name, without litter of macOS."""
    problems: dict[Path, str] = {}
    _, entries = next(walk_folders(landing.folder, problems), (landing.folder, []))
    for path, problem in problems.items():
        landing.refuse(path, problem)
    return [entry for entry in entries if not is_litter(entry.name, size_bytes=1) and entry.name != "__MACOSX"]


def _zip_archive(path: Path, landing: ScoringLanding, cache: LandingCache | None) -> Iterator[ScoringArchive]:
    landed = LandedZip.whole(path)
    try:
        problem = cache.why_unreadable(landed) if cache else ""
    except ArchiveError as error:
        problem = str(error.args[0])
    name = composed(path.stem)
    if problem := problem or _name_problem(name):
        landing.refuse(path, problem)
        return
    yield ScoringArchive(name, landing.folder, (path,), {composed(path.name): landed})


def _folder_archive(path: Path, landing: ScoringLanding) -> Iterator[ScoringArchive]:
    name = composed(path.name)
    if problem := LINKED_FOLDER if path.is_symlink() else _name_problem(name):
        landing.refuse(path, problem)
        return
    files: dict[str, LandedZip] = {}
    others: list[str] = []
    kinds = set()
    for shown, file, kind in _files_below(path, landing.folder):
        kinds.add(kind)
        if kind:
            files[shown] = LandedZip.whole(file)
        else:
            others.append(shown)
    if not kinds & {FileType.AUDIO, FileType.ZIP}:
        landing.refuse(path, NO_RECORDING)
        return
    yield ScoringArchive(name, landing.folder, (path,), files, tuple(sorted(others)))


def _files_below(folder: Path, top: Path) -> Iterator[tuple[str, Path, FileType | None]]:
    """Yields each file below a folder: its name, its path, and its type. The type is None for one that is not read."""
    for parent, entries in walk_folders(folder, {}):
        for entry in entries:
            path = parent / entry.name
            shown = printable(path.relative_to(top).as_posix())
            if is_litter(shown, size_bytes=1) or (is_folder(entry) and not entry.is_symlink()):
                continue
            yield shown, path, _type_of(path)


def _type_of(path: Path) -> FileType | None:
    try:
        kind = file_type(composed(path.name))
    except Rejected:
        return None
    return kind if path.is_file() and os.access(path, os.R_OK) else None


def _name_problem(name: str) -> str:
    """Why a name cannot be a partition key and the name of a folder; empty if it can."""
    is_plain = name.isprintable() and "..." not in name and not name.startswith(".")
    return "" if is_plain and len(name.encode()) <= MAX_NAME_BYTES else BAD_NAME
