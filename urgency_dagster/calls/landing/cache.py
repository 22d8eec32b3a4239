"""Content hashes and defects of landed files, cached until a file changes.

The landing folder is scanned every few seconds. A scan must not read tens of gigabytes each time.
"""

import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from urgency_dagster.calls.landing.formats import split_zip
from urgency_dagster.calls.landing.names import same_name
from urgency_dagster.calls.landing.parts import LandedZip, file_fingerprint
from urgency_dagster.calls.landing.tars import tar_listing
from urgency_dagster.calls.landing.zips import listed, why_unsupported
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.writing import text_hash, write_json

NOT_WHOLE = "not a complete ZIP; still being copied, or damaged"

END_OF_ZIP, END_BYTES, ZIP64_DISK = b"PK\5\6", 22, 0xFFFF
"""The record that ends a ZIP without a comment, its size, and its disk number in a ZIP64. Source: APPNOTE 4.3.16."""

SAVE_EVERY_S = 5.0
"""Seconds between two writes while many files are read. A process that is killed loses only the last facts."""

MEGABYTE = 1_000_000
BLOCK_BYTES = 4 * MEGABYTE
"""The bytes that are read at once."""

HASH, DIRECTORY, TAR = "sha256", "directory", "tar"
"""The cached facts.

The hash of the content; why the central directory is unreadable, or an empty text; and the listing of a tar.
"""

OF_A_TAR = "?"
"""In a key: what precedes the offset of a member in a tar. Quoted paths do not contain it."""


class CachedFacts(BaseModel):
    """The facts about one landed file or ZIP.

    Attributes:
        fingerprint: `LandedZip.fingerprint` at the time of reading. A number that changes although the content does
            not is UNSTABLE, as the inode is on some network file systems.
        facts: the values of HASH and DIRECTORY.
    """

    model_config = ConfigDict(populate_by_name=True)

    fingerprint: list[int] = Field(alias="look")
    facts: dict[str, str]


UNSTABLE = -1
"""In a stored fingerprint: a number that is not compared."""

CACHE_FILE = TypeAdapter(dict[str, CachedFacts])


class LandingCache:
    """A cache of facts about landed files, by path and fingerprint.

    The facts are in one JSON file, which several processes can use at the same time. Writing removes the entries of
    deleted files. An unreadable cache file counts as empty.

    Args:
        paths: the storage root.
    """

    def __init__(self, paths: StoragePaths) -> None:
        self._root = paths.root
        self._file = paths.landing_hashes
        self._unsaved: dict[str, CachedFacts] = {}
        self._blocks, self._saved_at = 0, time.monotonic()
        self._load()

    def of_file(self, path: Path, progress: Progress = no_progress) -> str:
        """The SHA-256 of a landed file, in hex.

        Args:
            path: the file.
            progress: receives the megabytes that were read.

        Raises:
            ArchiveError: the file cannot be read, or changed while it was read.
        """
        return self.content_hash(LandedZip.whole(path), progress)

    def content_hash(self, landed: LandedZip, progress: Progress = no_progress) -> str:
        """The SHA-256 of the content in hex. A ZIP in parts has the hash of the joined file.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return self._fact(landed, HASH, _hashing(progress, 0, landed.size_bytes))

    def of_pair(self, audio: LandedZip, labels: LandedZip, progress: Progress = no_progress) -> str:
        """A hash of the content of a pair. It does not depend on paths, times, or a division into parts.

        Args:
            audio: the audio ZIP.
            labels: the label ZIP.
            progress: receives the megabytes that were read.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return text_hash(*self.of_files([audio, labels], progress))

    def of_files(self, files: Sequence[LandedZip], progress: Progress = no_progress) -> list[str]:
        """`content_hash` of each of some files. The new facts are written together.

        Args:
            files: the files.
            progress: receives the megabytes that were read of all files.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        hashes, done, total = [], 0, sum(landed.size_bytes for landed in files)
        with self.collecting():
            for landed in files:
                hashes.append(self._fact(landed, HASH, _hashing(progress, done, total)))
                done += landed.size_bytes
        return hashes

    def known_file(self, path: Path) -> str | None:
        """`of_file` if the content was hashed since it last changed, otherwise None. It does not read the file."""
        return self._known(LandedZip.whole(path), HASH)

    def known_pair(self, audio: LandedZip, labels: LandedZip) -> str | None:
        """`of_pair` if both contents were hashed since they last changed, otherwise None. It does not read a file."""
        hashes = self.known_files([audio, labels])
        return None if hashes is None else text_hash(*hashes)

    def known_files(self, files: Sequence[LandedZip]) -> list[str] | None:
        """`of_files` if all contents were hashed since they last changed, otherwise None. It does not read a file."""
        hashes = [self._known(landed, HASH) for landed in files]
        return None if None in hashes else [*map(str, hashes)]

    def settled_fingerprint(self, landed: LandedZip) -> list[int]:
        """Size and modification time in ns of each part. A time that changes by itself is UNSTABLE."""
        entry, fingerprint = self._entries.get(self._key(landed)), landed.fingerprint()
        stored = entry.fingerprint if entry and _matches(entry.fingerprint, fingerprint) else fingerprint
        return [number for place, number in enumerate(stored) if place % 3 < 2]

    def why_unreadable(self, landed: LandedZip) -> str:
        """Why the central directory of a ZIP cannot be read, or an empty text.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return self._fact(landed, DIRECTORY, why_unreadable)

    def tar_listing(self, tar: LandedZip) -> str:
        """The members of a tar, see `tars.tar_listing`.

        Raises:
            ArchiveError: the file cannot be read, or changed while it was read.
        """
        return self._fact(tar, TAR, tar_listing)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """A block whose facts are written together: at its end, and every SAVE_EVERY_S seconds.

        Without it each fact is written at once. The file is written whole, so a scan of many files needs this block.
        Blocks can be nested; the outermost one counts.
        """
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1
            if not self._blocks:
                self._save()

    def _fact(self, landed: LandedZip, name: str, compute: Callable[[LandedZip], str]) -> str:
        """A fact from memory or from the cache file; computed if neither has it."""
        known = self._known(landed, name)
        if known is not None:
            return known
        fingerprint, fact = _settled(landed, compute)
        if name == HASH or UNSTABLE not in fingerprint:  # two equal directories do not prove equal contents
            self._add(self._key(landed), CachedFacts(fingerprint=fingerprint, facts={name: fact}))
        return fact

    def _known(self, landed: LandedZip, name: str) -> str | None:
        key, fingerprint = self._key(landed), landed.fingerprint()
        fact = _lookup(self._entries, key, fingerprint, name)
        if fact is None and file_fingerprint(self._file) != self._version:  # another process may have added it
            self._load()
            fact = _lookup(self._entries, key, fingerprint, name)
        return fact

    def _key(self, landed: LandedZip) -> str:
        # Quoted, because names can have invalid UTF-8. Relative, so that the storage root can be moved.
        file = quote_from_bytes(os.fsencode(os.path.relpath(landed.parts[0], self._root)))
        return f"{file}{OF_A_TAR}{landed.slices[0].start}" if landed.slices else file

    def _load(self) -> None:
        """Reads the file, and adds the facts that are not written yet."""
        self._version = file_fingerprint(self._file)  # before reading: a later change is seen
        self._entries = self._read()
        for key, added in self._unsaved.items():
            self._entries[key] = _merged(self._entries.get(key), added)

    def _read(self) -> dict[str, CachedFacts]:
        try:
            return CACHE_FILE.validate_json(self._file.read_bytes())
        except (OSError, ValueError):  # missing, damaged, or of another version
            return {}

    def _add(self, key: str, added: CachedFacts) -> None:
        self._unsaved[key] = _merged(self._unsaved.get(key), added)
        self._entries[key] = _merged(self._entries.get(key), added)
        if not self._blocks or time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self._save()

    def _save(self) -> None:
        """Writes the new facts beside those of other processes, without the entries of deleted files."""
        if not self._unsaved:
            return
        with FileLock(f"{self._file}.lock"):  # creates the folder too
            self._load()
            self._entries = {key: entry for key, entry in self._entries.items() if self._exists(key)}
            write_json(self._file, {key: entry.model_dump(by_alias=True) for key, entry in self._entries.items()})
            self._version = file_fingerprint(self._file)
        self._unsaved.clear()
        self._saved_at = time.monotonic()

    def _exists(self, key: str) -> bool:
        return os.path.lexists(self._root / os.fsdecode(unquote_to_bytes(key.partition(OF_A_TAR)[0])))


def _merged(former: CachedFacts | None, added: CachedFacts) -> CachedFacts:
    """Both facts about one state of a file, or those about its present state alone.

    If only the inode differs although the content is the same, the inode is UNSTABLE from now on.
    """
    if former is None or len(former.fingerprint) != len(added.fingerprint):
        return added
    same_content = HASH in added.facts and former.facts.get(HASH) == added.facts[HASH]
    pairs = list(enumerate(zip(former.fingerprint, added.fingerprint, strict=True)))
    merged = [_common(one, other, is_inode=same_content and place % 3 == 2) for place, (one, other) in pairs]
    if None in merged:
        return added
    return CachedFacts(fingerprint=merged, facts={**former.facts, **added.facts})


def _common(one: int, other: int, *, is_inode: bool) -> int | None:
    """The number of two fingerprints of one state of a file, or None if their states differ."""
    if one == other:
        return one
    return UNSTABLE if is_inode or UNSTABLE in (one, other) else None


def _matches(stored: list[int], fingerprint: list[int]) -> bool:
    pairs = zip(stored, fingerprint, strict=False)
    return len(stored) == len(fingerprint) and all(one in (other, UNSTABLE) for one, other in pairs)


def _lookup(entries: dict[str, CachedFacts], key: str, fingerprint: list[int], name: str) -> str | None:
    entry = entries.get(key)
    return entry.facts.get(name) if entry and _matches(entry.fingerprint, fingerprint) else None


def _settled(landed: LandedZip, compute: Callable[[LandedZip], str]) -> tuple[list[int], str]:
    """A fact with the fingerprint of the state that it is about.

    A file that changed while it was read is read again. On a network file system its time or inode may change by
    itself: then size and fact are the same twice.

    Raises:
        ArchiveError: the file changed again, and its size or the fact with it.
    """
    before, fact, after = landed.fingerprint(), compute(landed), landed.fingerprint()
    if before == after:
        return after, fact
    again, last = compute(landed), landed.fingerprint()
    if after == last:
        return last, again
    if (again, after[::3]) != (fact, last[::3]):
        raise ArchiveError("changed while it was read", "a file that is complete", "wait until it is copied")
    return [one if one == other else UNSTABLE for one, other in zip(after, last, strict=True)], fact


def _hashing(progress: Progress, done: int, total: int) -> Callable[[LandedZip], str]:
    """The function that hashes a content. It reports the megabytes that were read: `done` bytes before, of `total`."""

    def content_hash(landed: LandedZip) -> str:
        digest, read = hashlib.sha256(), done
        try:
            with landed.open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    digest.update(block)
                    read += len(block)
                    progress(read // MEGABYTE, total // MEGABYTE)
        except OSError as error:
            raise _unreachable(error) from error
        return digest.hexdigest()

    return content_hash


def _unreachable(error: OSError) -> ArchiveError:
    """The error for a missing permission or a failing disk. It is not cached: the next scan tries again."""
    return ArchiveError(f"cannot be read ({error.strerror})", "a file that can be read", "copy it again")


def why_unreadable(landed: LandedZip) -> str:
    """Why the central directory or no member of a ZIP can be read, or an empty text.

    Raises:
        ArchiveError: the file itself cannot be read.
    """
    try:
        with landed.open() as stream, listed(stream) as archive:
            return _why_split(stream, archive, landed.name) or why_unsupported(archive)
    except zipfile.BadZipFile:
        return NOT_WHOLE + _missing_end(landed)
    except OSError as error:
        raise _unreachable(error) from error


def _why_split(stream: BinaryIO, archive: zipfile.ZipFile, name: str) -> str:
    """The reason for the last volume of a split ZIP, which has the list of members; empty for a whole ZIP."""
    stream.seek(-END_BYTES, os.SEEK_END)
    end = stream.read(END_BYTES)
    disk = int.from_bytes(end[4:6], "little") if end.startswith(END_OF_ZIP) else 0
    on_other_disks = any(info.volume < disk for info in archive.infolist())
    return split_zip(name) if 0 < disk < ZIP64_DISK and on_other_disks else ""


def _missing_end(landed: LandedZip) -> str:
    """A hint for a ZIP in parts without an end: its last part may be missing, which no file name reveals."""
    if same_name(landed.shown[0].name).endswith(".zip"):
        return ""
    return f", or its last part is missing: {landed.name}.part{landed.size_bytes}"
