"""The extraction step: the members of an archive pair become files below `calls/<archive>/`.

Both ZIPs are unpacked into a hidden folder, which replaces the final folders when it is complete. `members.parquet` is
written last. After a kill at any moment, the next run continues: complete members are not unpacked again.
"""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from urgency_dagster.calls.landing.pairs import ArchivePair
from urgency_dagster.calls.tables import MEMBERS
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.members import Member, ZipPlan, plan_extraction
from urgency_dagster.calls.unpacking.worker import Chunk, Destination, Outcome, close_readers, unpack_chunk
from urgency_dagster.calls.workers import ordered_map
from urgency_dagster.errors import ArchiveError, BusyError
from urgency_dagster.paths import ArchivePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.writing import TableSink

CHUNK_MEMBERS, CHUNK_BYTES = 512, 8 << 20
"""Size of a task of one worker: large enough to hide the cost of sending it, small enough for an even distribution."""

MAX_MEMBERS_ALONE, MAX_BYTES_ALONE = 4_000, 64 << 20
"""Up to this number of members and packed bytes, one process is faster than starting workers."""

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors for a full disk, an exceeded quota, and a file that is too large for the file system."""


@dataclass
class ZipExtraction:
    """The extraction of one ZIP of the pair.

    Attributes:
        kind: audio or label.
        plan: the members of the ZIP.
        folder: the final folder of the files.
        destination: the folder in which the files are unpacked first.
        paths: relative paths of the extracted members so far.
        bytes: size of the extracted members so far.
    """

    kind: str
    plan: ZipPlan
    folder: Path
    destination: Destination
    paths: set[str] = field(default_factory=set)
    bytes: int = 0


def extract_pair(
    pair: ArchivePair, paths: ArchivePaths, config: ExtractionConfig, progress: Progress = no_progress
) -> dict[str, int]:
    """Unpacks both ZIPs into `Wave/` and `Label/`, then writes `members.parquet`.

    A member is not unpacked again if a file with its size and CRC-32 exists. The result does not depend on that, nor on
    the number of workers.

    Args:
        pair: both ZIPs.
        paths: the folder of the archive.
        config: the limits, and the number of worker processes.
        progress: receives the number of finished members.

    Returns:
        `audio_files`, `label_files`, `rejected_members` and `bytes`; and how many files were `extracted` or `reused`.

    Raises:
        ArchiveError: a ZIP cannot be read, changed during the extraction, or exceeds the limits; or the disk is full.
            The former files stay, except for `members.parquet`.
        BusyError: another process unpacks this archive.
    """
    with _locked(paths):
        paths.members.unlink(missing_ok=True)  # without this file the folder counts as incomplete
        with _errors_explained(pair):
            extractions = _planned(pair, paths, config)
            _check_disk(extractions, paths, config)
            _remove_foreign_files(extractions)
            try:
                counts = _unpack(extractions, pair.archive, paths, config, progress)
            finally:
                close_readers()
        _publish(extractions, paths)
    return counts


@contextmanager
def _locked(paths: ArchivePaths) -> Iterator[None]:
    """Locks the folder of the archive. The operating system releases the lock of a killed process.

    Raises:
        BusyError: another process has the lock.
    """
    for folder in (paths.folder, paths.lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(paths.lock, timeout=0):
            yield
    except Timeout as error:
        raise BusyError("another process is unpacking this archive", "one at a time", "wait for it to end") from error


@contextmanager
def _errors_explained(pair: ArchivePair) -> Iterator[None]:
    """Translates errors of reading the ZIPs and of writing the files.

    Raises:
        ArchiveError: the ZIPs changed inside the block, which explains any other error; or a disk cannot be used.
    """
    fingerprint = pair.fingerprint()
    try:
        yield
    except ArchiveError as error:
        _check_unchanged(pair, fingerprint, error)
        raise
    except OSError as error:
        _check_unchanged(pair, fingerprint, error)
        raise _disk_error(error) from error
    _check_unchanged(pair, fingerprint)


def _check_unchanged(pair: ArchivePair, fingerprint: list[int], cause: Exception | None = None) -> None:
    if pair.fingerprint() != fingerprint:
        raise ArchiveError(
            f"the ZIPs of {pair.archive} changed while they were read",
            "files that are complete",
            "wait; they will be taken when they stay as they are",
        ) from cause


def _disk_error(error: OSError) -> ArchiveError:
    if error.errno in DISK_FULL_ERRORS:
        return ArchiveError("no room is left on the disk", "room for all members", "free some; finished files are kept")
    return ArchiveError(
        f"a file cannot be read or written ({error.strerror})", "disks that work", "see the error before this one"
    )


def _planned(pair: ArchivePair, paths: ArchivePaths, config: ExtractionConfig) -> list[ZipExtraction]:
    """Reads both central directories. Nothing is written before that."""
    audio = plan_extraction(pair.audio, ".wav", config.members)
    labels = plan_extraction(pair.labels, ".json", config.members)
    return [
        _zip_extraction("audio", audio, paths.audio, paths),
        _zip_extraction("label", labels, paths.labels, paths),
    ]


def _zip_extraction(kind: str, plan: ZipPlan, folder: Path, paths: ArchivePaths) -> ZipExtraction:
    temporary = paths.unpacking / folder.name
    destination = Destination(temporary, temporary.is_dir(), folder if folder.is_dir() else None)
    return ZipExtraction(kind, plan, folder, destination)


def _check_disk(extractions: list[ZipExtraction], paths: ArchivePaths, config: ExtractionConfig) -> None:
    """Checks the free space before anything is unpacked.

    Raises:
        ArchiveError: less than the reserve would stay free.
    """
    free = shutil.disk_usage(paths.folder).free
    if sum(extraction.plan.size_bytes for extraction in extractions) + config.reserve_bytes <= free:
        return  # the usual case: there is room even if no file can be reused
    needed = sum(_needed_bytes(extraction, config) for extraction in extractions)
    if needed + config.reserve_bytes > free:
        raise ArchiveError(
            f"unpacking takes {needed} bytes and {config.reserve_bytes} in reserve, but {free} are free",
            "room on the disk",
            "free some, or lower reserve_bytes in the run config of call_recordings",
        )


def _needed_bytes(extraction: ZipExtraction, config: ExtractionConfig) -> int:
    """The size of the members without a file of the same size."""
    destination = extraction.destination
    folders = [folder for folder in (destination.folder, destination.former) if folder is not None]
    return sum(
        min(member.entry.size_bytes, config.max_member_bytes(member.entry))
        for member in extraction.plan.members()
        if member.path and not any(_size(folder / member.path) == member.entry.size_bytes for folder in folders)
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _remove_foreign_files(extractions: list[ZipExtraction]) -> None:
    """Removes files that an interrupted extraction unpacked from a ZIP with other members."""
    for extraction in extractions:
        folder = extraction.destination.folder
        if extraction.destination.resumed:
            keep_only(folder, {member.path for member in extraction.plan.members() if member.path})
        folder.mkdir(parents=True, exist_ok=True)


def keep_only(folder: Path, names: set[str]) -> None:
    """Removes all other files below a folder, and all empty folders.

    Args:
        folder: the folder.
        names: POSIX paths relative to the folder.
    """
    for parent, folders, files in os.walk(folder, topdown=False):
        relative = Path(parent).relative_to(folder).parts
        for name in files:
            if "/".join((*relative, name)) not in names:
                Path(parent, name).unlink()
        for inner in folders:
            if not any(Path(parent, inner).iterdir()):
                Path(parent, inner).rmdir()


def _unpack(
    extractions: list[ZipExtraction],
    archive: str,
    paths: ArchivePaths,
    config: ExtractionConfig,
    progress: Progress,
) -> dict[str, int]:
    """Unpacks both ZIPs and writes the member table; returns the counts.

    Raises:
        ArchiveError: a ZIP unpacks to more than the limit.
    """
    by_kind = {extraction.kind: extraction for extraction in extractions}
    done, total = 0, sum(len(extraction.plan.entries) for extraction in extractions)
    tally = Counter[str]()
    chunks = (chunk for extraction in extractions for chunk in _chunks(extraction, config))
    workers = _processes(extractions, config.workers)
    with _member_table(paths) as table, closing(ordered_map(unpack_chunk, chunks, workers)) as results:
        for outcomes in results:
            table.add([{"archive": archive, **outcome.row} for outcome in outcomes])
            tally.update(_count(outcome, by_kind[outcome.row["kind"]]) for outcome in outcomes)
            if any(extraction.bytes > config.total_bytes for extraction in extractions):
                break
            done += len(outcomes)
            progress(done, total)
    _check_total(extractions, paths, config)
    return {
        "audio_files": len(by_kind["audio"].paths),
        "label_files": len(by_kind["label"].paths),
        "rejected_members": tally["rejected"],
        "bytes": sum(extraction.bytes for extraction in extractions),
        "extracted": tally["extracted"],
        "reused": tally["reused"],
    }


@contextmanager
def _member_table(paths: ArchivePaths) -> Iterator[TableSink]:
    """Yields a sink for the rows of MEMBERS. The file stays in the hidden folder until the extraction is complete."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(paths.unpacking / paths.members.name, MEMBERS, compression="zstd") as writer:
        sink = TableSink(writer)
        yield sink
        sink.close()


def _chunks(extraction: ZipExtraction, config: ExtractionConfig) -> Iterator[Chunk]:
    """Yields the members in order, in tasks of about equal work."""
    source, destination = extraction.plan.source, extraction.destination
    members: list[Member] = []
    packed_bytes = 0
    for member in extraction.plan.members():
        members.append(member)
        packed_bytes += member.entry.packed_bytes
        if len(members) == CHUNK_MEMBERS or packed_bytes >= CHUNK_BYTES:
            yield Chunk(extraction.kind, source, tuple(members), destination, config)
            members, packed_bytes = [], 0
    if members:
        yield Chunk(extraction.kind, source, tuple(members), destination, config)


def _processes(extractions: list[ZipExtraction], workers: int) -> int:
    members = sum(len(extraction.plan.entries) for extraction in extractions)
    packed_bytes = sum(extraction.plan.source.size_bytes for extraction in extractions)
    is_small = members <= MAX_MEMBERS_ALONE and packed_bytes <= MAX_BYTES_ALONE
    return 1 if workers < 1 and is_small else workers


def _count(outcome: Outcome, extraction: ZipExtraction) -> str:
    """Adds an extracted member to its extraction; returns the name of its outcome."""
    if outcome.row["path"] is None:
        return "rejected"
    extraction.paths.add(outcome.row["path"])
    extraction.bytes += outcome.row["size_bytes"]
    return "reused" if outcome.reused else "extracted"


def _check_total(extractions: list[ZipExtraction], paths: ArchivePaths, config: ExtractionConfig) -> None:
    for extraction in extractions:
        if extraction.bytes > config.total_bytes:
            _remove(paths.unpacking)
            raise ArchiveError(
                f"{extraction.plan.source.name} unpacks to more than {config.total_bytes} bytes",
                "an archive within the limit",
                "raise total_bytes in the run config of call_recordings if the archive is genuine",
            )


def _publish(extractions: list[ZipExtraction], paths: ArchivePaths) -> None:
    """Moves both folders and the member table to their final place, and removes all other files."""
    for extraction in extractions:
        keep_only(extraction.destination.folder, extraction.paths)
    for extraction in extractions:
        former = paths.unpacking / f"{extraction.folder.name}.former"
        _remove(former)  # of an interrupted extraction
        if os.path.lexists(extraction.folder):
            # Renamed first: a kill during its deletion must not leave half of it in place.
            os.replace(extraction.folder, former)
        os.replace(extraction.destination.folder, extraction.folder)
        _remove(former)
    os.replace(paths.unpacking / paths.members.name, paths.members)
    _remove(paths.unpacking)


def _remove(path: Path) -> None:
    """Removes a folder with its content, or a link without its target."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
