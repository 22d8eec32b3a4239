"""The files of some sources: those of a folder at any depth, and the members of the ZIPs among them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls import (
    ExtractionConfig,
    LandedZip,
    Member,
    composed,
    is_folder,
    is_litter,
    printable,
    walk_folders,
    zip_members,
)
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster.scoring.recordings.file_types import FileType, file_type
from urgency_dagster.scoring.rejects import Rejection, RejectReason

LINKED_FOLDER = "a link to a folder, which is not followed; name the folder itself"
NO_FILE = "holds no recording"
ZIP_IN_ZIP = "a ZIP in a ZIP, which is not read; unpack the outer one"


@dataclass(frozen=True)
class FoundFile:
    """A recording or a label that was found.

    Attributes:
        name: its printable POSIX path. That of a member is below its ZIP.
        path: the file, or the ZIP that holds it.
        member: the member of the ZIP; None for a file.
    """

    name: str
    path: Path
    member: Member | None = None

    @property
    def folder(self) -> str:
        """The part of the name before the file."""
        return self.name.rpartition("/")[0]

    @property
    def id(self) -> str:
        """The id in its name, see `id_in`."""
        return id_in(self.name)


@dataclass
class FoundFiles:
    """The files of some sources by type, in the order of discovery, and the folders and ZIPs that can hold some."""

    audio: list[FoundFile] = field(default_factory=list)
    labels: list[FoundFile] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    containers: list[Path] = field(default_factory=list)

    def reject(self, name: str, reason: str, detail: str) -> None:
        """Adds a file that is not used."""
        self.rejected.append(Rejection(printable(name), RejectReason(reason), detail))


def id_in(name: str) -> str:
    """The id in the name of a file: its stem up to the first `_`, in NFC."""
    return composed(Path(name).stem.partition("_")[0])


def find_files(sources: Iterable[Path], top: Path | None, config: ExtractionConfig) -> FoundFiles:
    """Finds the recordings and labels of some files, folders and ZIPs. Only names and sizes are read.

    A recording that is named alone brings the label that lies beside it.

    Args:
        sources: files, folders and ZIPs.
        top: the folder to which names are relative; None for names that begin as the sources do.
        config: the limits of ZIPs.
    """
    found = FoundFiles()
    for path in _files(sources, top, found):
        name = _name(path, top)
        if is_litter(name, size_bytes=1):
            continue
        try:
            _check_file(path)
            _sort_in(FoundFile(name, path), file_type(composed(path.name)), found, config)
        except Rejected as rejected:
            found.reject(name, rejected.reason, rejected.detail)
    _reject_empty([_name(path, top) for path in found.containers], found)
    return found


def _reject_empty(containers: Iterable[str], found: FoundFiles) -> None:
    """Rejects folders and ZIPs without a file that is used or rejected."""
    names = [file.name for file in (*found.audio, *found.labels)] + [entry.file for entry in found.rejected]
    filled = {str(parent) for name in names for parent in (Path(name), *Path(name).parents)}
    for name in containers:
        if name not in filled:
            found.reject(name, RejectReason.NO_RECORDING, NO_FILE)


def _files(sources: Iterable[Path], top: Path | None, found: FoundFiles) -> Iterator[Path]:
    """Yields each file of the sources once."""
    chosen = dict.fromkeys(sources)
    folders = [source for source in chosen if source.is_dir()]
    found.containers += folders
    alone = [source for source in chosen if not source.is_dir()]
    listed = [*alone, *_labels_beside(alone)]
    for folder in folders:
        problems: dict[Path, str] = {}
        for parent, entries in walk_folders(folder, problems):
            listed += [parent / entry.name for entry in entries if not is_folder(entry) or entry.is_symlink()]
        for path, problem in problems.items():
            found.reject(_name(path, top), RejectReason.UNREADABLE_FILE, problem)
    yield from dict.fromkeys(listed)


def _labels_beside(files: Sequence[Path]) -> Iterator[Path]:
    """Yields the labels in the folders of some files that have the id of one of them."""
    ids: dict[Path, set[str]] = {}
    for file in files:
        ids.setdefault(file.parent, set()).add(id_in(file.name))
    for folder, wanted in ids.items():
        for path in sorted(folder.glob("*.json")):
            if id_in(path.name) in wanted:
                yield path


def _name(path: Path, top: Path | None) -> str:
    return printable((path.relative_to(top) if top else path).as_posix())


def _check_file(path: Path) -> None:
    """Checks that a path is a file that can be read.

    Raises:
        Rejected: it is not.
    """
    if path.is_dir():
        raise Rejected(RejectReason.UNREADABLE_FILE, LINKED_FOLDER)
    if not path.is_file():
        detail = "no regular file" if path.exists() else "a file that is not there"
        raise Rejected(RejectReason.UNREADABLE_FILE, detail)
    if not os.access(path, os.R_OK):
        raise Rejected(RejectReason.UNREADABLE_FILE, "no permission to read it")


def _sort_in(file: FoundFile, kind: FileType, found: FoundFiles, config: ExtractionConfig) -> None:
    """Adds a file to its type. A ZIP adds its members.

    Raises:
        Rejected: the ZIP cannot be read.
    """
    if kind is FileType.AUDIO:
        found.audio.append(file)
    elif kind is FileType.LABEL:
        found.labels.append(file)
    elif file.member:
        raise Rejected(RejectReason.UNREAD_FORMAT, ZIP_IN_ZIP)
    else:
        _add_members(file, found, config)


def _add_members(file: FoundFile, found: FoundFiles, config: ExtractionConfig) -> None:
    try:
        members = zip_members(LandedZip.whole(file.path), config)
    except ArchiveError as error:
        raise Rejected(RejectReason.CORRUPT, str(error.args[0])) from error
    except OSError as error:
        raise Rejected(RejectReason.UNREADABLE_FILE, f"cannot be read ({error.strerror})") from error
    found.containers.append(file.path)
    for member in members:
        name = f"{file.name}/{member.path or member.shown}"
        if member.reason:
            found.reject(name, member.reason, member.detail or "")
            continue
        try:
            _sort_in(FoundFile(name, file.path, member), file_type(name), found, config)
        except Rejected as rejected:
            found.reject(name, rejected.reason, rejected.detail)
