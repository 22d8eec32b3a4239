"""The members of an archive pair become files below `calls/<archive>/`, and each one is accounted for.

Both ZIPs are unpacked into a hidden folder, which takes its place when it is complete; `members.parquet` comes last.
A call that was killed at any moment is taken up by the next one: what is whole is not unpacked again.
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
from urgency_dagster.calls.unpacking.members import Member, Plan, survey
from urgency_dagster.calls.unpacking.worker import (
    Chunk,
    Outcome,
    Target,
    close_readers,
    unpack_chunk,
)
from urgency_dagster.calls.workers import ordered_map
from urgency_dagster.errors import ArchiveError, BusyError
from urgency_dagster.paths import ArchivePaths
from urgency_dagster.progress import Progress, silent
from urgency_dagster.writing import TableSink

CHUNK_MEMBERS, CHUNK_BYTES = 512, 8 << 20
"""What a worker unpacks in one go: enough to hide the cost of handing it over, little enough to share out evenly."""

ALONE_MEMBERS, ALONE_BYTES = 4_000, 64 << 20
"""Up to so many members and packed bytes, one process is done before others have started."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk answers when it has no room: at all, for this user, for a file of that size."""


@dataclass
class Side:
    """One ZIP of the pair on its way to its folder.

    Attributes:
        kind: audio or label.
        plan: its members.
        folder: where they belong.
        target: where they are unpacked.
        paths: the members that lie there, once they do.
        bytes: their bytes.
    """

    kind: str
    plan: Plan
    folder: Path
    target: Target
    paths: set[str] = field(default_factory=set)
    bytes: int = 0


def extract_pair(
    pair: ArchivePair,
    paths: ArchivePaths,
    config: ExtractionConfig,
    progress: Progress = silent,
) -> dict[str, int]:
    """Unpacks both ZIPs into `Wave/` and `Label/` and writes `members.parquet` last.

    Members whose size and CRC-32 are those of a file that is there already are not unpacked again. The result does
    not depend on that, nor on the number of workers.

    Args:
        pair: both ZIPs.
        paths: the archive's folder.
        config: the limits, and the number of worker processes.
        progress: told the members done so far.

    Returns:
        Counts of audio files, label files, rejected members and bytes; and how many files were extracted or reused.

    Raises:
        ArchiveError: a ZIP cannot be read, changes meanwhile, holds more members or bytes than the limits allow, or
            the disk has no room. What was there before stays, but for `members.parquet`.
        BusyError: another process is unpacking this archive.
    """
    with _held(paths):
        paths.members.unlink(missing_ok=True)  # from here on the folder counts as incomplete
        with _explained(pair):
            sides = _surveyed(pair, paths, config)
            _check_disk(sides, paths, config)
            _drop_strangers(sides)
            try:
                counts = _unpack(sides, pair.archive, paths, config, progress)
            finally:
                close_readers()
        _publish(sides, paths)
    return counts


@contextmanager
def _held(paths: ArchivePaths) -> Iterator[None]:
    """Keeps others away from the archive's folder; the hold of a process that was killed ends with it.

    Raises:
        BusyError: another process holds it.
    """
    for folder in (paths.folder, paths.lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(paths.lock, timeout=0):
            yield
    except Timeout as error:
        raise BusyError("another process is unpacking this archive", "one at a time", "wait for it to end") from error


@contextmanager
def _explained(pair: ArchivePair) -> Iterator[None]:
    """Says what is wrong with the ZIPs or the disk.

    Raises:
        ArchiveError: the ZIPs were changed meanwhile, which then is the cause of all else; or a disk cannot be used.
    """
    before = pair.fingerprint()
    try:
        yield
    except ArchiveError as error:
        _check_same(pair, before, error)
        raise
    except OSError as error:
        _check_same(pair, before, error)
        raise _disk_error(error) from error
    _check_same(pair, before)


def _check_same(pair: ArchivePair, before: list[int], cause: Exception | None = None) -> None:
    if pair.fingerprint() != before:
        raise ArchiveError(
            f"the ZIPs of {pair.archive} changed while they were read",
            "files that are complete",
            "wait; they will be taken when they stay as they are",
        ) from cause


def _disk_error(error: OSError) -> ArchiveError:
    if error.errno in FULL:
        return ArchiveError("no room is left on the disk", "room for all members", "free some; what was done is kept")
    return ArchiveError(
        f"a file cannot be read or written ({error.strerror})", "disks that work", "see the error before this one"
    )


def _surveyed(pair: ArchivePair, paths: ArchivePaths, config: ExtractionConfig) -> list[Side]:
    """Both directories, read before anything is written."""
    audio = survey(pair.audio, ".wav", config.members)
    labels = survey(pair.labels, ".json", config.members)
    return [_side("audio", audio, paths.audio, paths), _side("label", labels, paths.labels, paths)]


def _side(kind: str, plan: Plan, folder: Path, paths: ArchivePaths) -> Side:
    unpacked = paths.unpacking / folder.name
    return Side(kind, plan, folder, Target(unpacked, unpacked.is_dir(), folder if folder.is_dir() else None))


def _check_disk(sides: list[Side], paths: ArchivePaths, config: ExtractionConfig) -> None:
    """Refuses to begin what the disk has no room for.

    Raises:
        ArchiveError: less than the reserve would be left.
    """
    free = shutil.disk_usage(paths.folder).free
    if sum(side.plan.size_bytes for side in sides) + config.reserve_bytes <= free:
        return  # most often there is room for all, and what is there already need not be looked at
    needed = sum(_needed_bytes(side, config) for side in sides)
    if needed + config.reserve_bytes > free:
        raise ArchiveError(
            f"unpacking takes {needed} bytes and {config.reserve_bytes} in reserve, but {free} are free",
            "room on the disk",
            "free some, or lower reserve_bytes in the run config of call_recordings",
        )


def _needed_bytes(side: Side, config: ExtractionConfig) -> int:
    """What the members take that are not there yet, by their size."""
    folders = [folder for folder in (side.target.folder, side.target.present) if folder is not None]
    return sum(
        min(member.entry.size_bytes, config.max_member_bytes(member.entry))
        for member in side.plan.members()
        if member.path and not any(_size(folder / member.path) == member.entry.size_bytes for folder in folders)
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _drop_strangers(sides: list[Side]) -> None:
    """Removes what an earlier attempt unpacked from a ZIP that has been replaced since."""
    for side in sides:
        if side.target.resumed:
            keep_only(side.target.folder, {member.path for member in side.plan.members() if member.path})
        side.target.folder.mkdir(parents=True, exist_ok=True)


def keep_only(folder: Path, names: set[str]) -> None:
    """Removes all other files below a folder, and all folders that hold none."""
    for parent, folders, files in os.walk(folder, topdown=False):
        above = Path(parent).relative_to(folder).parts
        for name in files:
            if "/".join((*above, name)) not in names:
                Path(parent, name).unlink()
        for inner in folders:
            if not any(Path(parent, inner).iterdir()):
                Path(parent, inner).rmdir()


def _unpack(
    sides: list[Side],
    archive: str,
    paths: ArchivePaths,
    config: ExtractionConfig,
    progress: Progress,
) -> dict[str, int]:
    """Unpacks both ZIPs and writes their account; returns the counts.

    Raises:
        ArchiveError: a ZIP unpacks to more than the limit.
    """
    by_kind = {side.kind: side for side in sides}
    done, total, tally = 0, sum(len(side.plan.entries) for side in sides), Counter[str]()
    chunks = (chunk for side in sides for chunk in _chunks(side, config))
    workers = _processes(sides, config.workers)
    with _account(paths) as account, closing(ordered_map(unpack_chunk, chunks, workers)) as results:
        for outcomes in results:
            account.add([{"archive": archive, **outcome.row} for outcome in outcomes])
            for outcome in outcomes:
                tally[_count(outcome, by_kind[outcome.row["kind"]])] += 1
            if any(side.bytes > config.total_bytes for side in sides):
                break
            done += len(outcomes)
            progress(done, total)
    _check_total(sides, paths, config)
    return {
        "audio_files": len(by_kind["audio"].paths),
        "label_files": len(by_kind["label"].paths),
        "rejected_members": tally["rejected"],
        "bytes": sum(side.bytes for side in sides),
        "extracted": tally["extracted"],
        "reused": tally["reused"],
    }


@contextmanager
def _account(paths: ArchivePaths) -> Iterator[TableSink]:
    """Yields a sink for the rows of MEMBERS; the file waits beside the members until all is complete."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(paths.unpacking / paths.members.name, MEMBERS, compression="zstd") as writer:
        sink = TableSink(writer)
        yield sink
        sink.close()


def _chunks(side: Side, config: ExtractionConfig) -> Iterator[Chunk]:
    """The members in their order, in pieces of even work."""
    members: list[Member] = []
    packed_bytes = 0
    for member in side.plan.members():
        members.append(member)
        packed_bytes += member.entry.packed_bytes
        if len(members) == CHUNK_MEMBERS or packed_bytes >= CHUNK_BYTES:
            yield Chunk(side.kind, side.plan.source, tuple(members), side.target, config)
            members, packed_bytes = [], 0
    if members:
        yield Chunk(side.kind, side.plan.source, tuple(members), side.target, config)


def _processes(sides: list[Side], workers: int) -> int:
    members = sum(len(side.plan.entries) for side in sides)
    packed_bytes = sum(side.plan.source.size_bytes for side in sides)
    little = members <= ALONE_MEMBERS and packed_bytes <= ALONE_BYTES
    return 1 if workers < 1 and little else workers


def _count(outcome: Outcome, side: Side) -> str:
    """Takes note of a member that lies there now; says what became of it."""
    if outcome.row["path"] is None:
        return "rejected"
    side.paths.add(outcome.row["path"])
    side.bytes += outcome.row["size_bytes"]
    return "reused" if outcome.reused else "extracted"


def _check_total(sides: list[Side], paths: ArchivePaths, config: ExtractionConfig) -> None:
    for side in sides:
        if side.bytes > config.total_bytes:
            _remove(paths.unpacking)
            raise ArchiveError(
                f"{side.plan.source.name} unpacks to more than {config.total_bytes} bytes",
                "an archive within the limit",
                "raise total_bytes in the run config of call_recordings if the archive is genuine",
            )


def _publish(sides: list[Side], paths: ArchivePaths) -> None:
    """Puts both folders in their place, then the account; nothing else is left."""
    for side in sides:
        keep_only(side.target.folder, side.paths)
    for side in sides:
        former = paths.unpacking / f"{side.folder.name}.former"
        _remove(former)  # of an earlier attempt
        if os.path.lexists(side.folder):
            # Moved aside whole: deleting it in place could leave half of it there.
            os.replace(side.folder, former)
        os.replace(side.target.folder, side.folder)
        _remove(former)
    os.replace(paths.unpacking / paths.members.name, paths.members)
    _remove(paths.unpacking)


def _remove(path: Path) -> None:
    """Removes a folder with all it holds, or a link to one without following it."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
