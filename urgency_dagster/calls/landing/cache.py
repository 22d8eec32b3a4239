"""Content hashes and defects of landed files, cached until a file changes.

The landing folder is scanned every few seconds. A scan must not read tens of gigabytes each time.
"""

import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from urgency_dagster.calls.landing.names import same_name
from urgency_dagster.calls.landing.parts import LandedZip, file_fingerprint
from urgency_dagster.calls.landing.zips import listed
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import text_hash, write_json

NOT_WHOLE = "not a complete ZIP; still being copied, or damaged"

SAVE_EVERY_S = 5.0
"""Seconds between two writes while many files are read. A process that is killed loses only the last facts."""

HASH, DIRECTORY = "sha256", "directory"
"""The cached facts: the hash of the content; and why the central directory is unreadable, or an empty text."""


class CachedFacts(BaseModel):
    """The facts about one landed file or ZIP.

    Attributes:
        fingerprint: `LandedZip.fingerprint` at the time of reading.
        facts: the values of HASH and DIRECTORY.
    """

    model_config = ConfigDict(populate_by_name=True)

    fingerprint: list[int] = Field(alias="look")
    facts: dict[str, str]


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

    def of_file(self, path: Path) -> str:
        """The SHA-256 of a landed file, in hex.

        Raises:
            ArchiveError: the file cannot be read, or changed while it was read.
        """
        return self.content_hash(LandedZip.whole(path))

    def of_pair(self, audio: LandedZip, labels: LandedZip) -> str:
        """A hash of the content of a pair. It does not depend on paths, times, or a division into parts.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return text_hash(self.content_hash(audio), self.content_hash(labels))

    def content_hash(self, landed: LandedZip) -> str:
        """The SHA-256 of the content in hex. A ZIP in parts has the hash of the joined file.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return self._fact(landed, HASH, _content_hash)

    def why_unreadable(self, landed: LandedZip) -> str:
        """Why the central directory of a ZIP cannot be read, or an empty text.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return self._fact(landed, DIRECTORY, why_unreadable)

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
        fingerprint = landed.fingerprint()
        key = self._key(landed)
        fact = _lookup(self._entries, key, fingerprint, name)
        if fact is None and file_fingerprint(self._file) != self._version:  # another process may have added it
            self._load()
            fact = _lookup(self._entries, key, fingerprint, name)
        if fact is None:
            fact = compute(landed)
            if landed.fingerprint() != fingerprint:
                raise ArchiveError("changed while it was read", "a file that is complete", "wait until it is copied")
            self._add(key, CachedFacts(fingerprint=fingerprint, facts={name: fact}))
        return fact

    def _key(self, landed: LandedZip) -> str:
        # Quoted, because names can have invalid UTF-8. Relative, so that the storage root can be moved.
        return quote_from_bytes(os.fsencode(os.path.relpath(landed.parts[0], self._root)))

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
        return os.path.lexists(self._root / os.fsdecode(unquote_to_bytes(key)))


def _merged(former: CachedFacts | None, added: CachedFacts) -> CachedFacts:
    """Both facts about one state of a file, or those about its present state alone."""
    same = former is not None and former.fingerprint == added.fingerprint
    known = former.facts if former and same else {}
    return CachedFacts(fingerprint=added.fingerprint, facts={**known, **added.facts})


def _lookup(entries: dict[str, CachedFacts], key: str, fingerprint: list[int], name: str) -> str | None:
    entry = entries.get(key)
    return entry.facts.get(name) if entry and entry.fingerprint == fingerprint else None


def _content_hash(landed: LandedZip) -> str:
    try:
        with landed.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreachable(error) from error


def _unreachable(error: OSError) -> ArchiveError:
    """The error for a missing permission or a failing disk. It is not cached: the next scan tries again."""
    return ArchiveError(f"cannot be read ({error.strerror})", "a file that can be read", "copy it again")


def why_unreadable(landed: LandedZip) -> str:
    """Why the central directory of a ZIP cannot be read, or an empty text.

    Raises:
        ArchiveError: the file itself cannot be read.
    """
    try:
        with landed.open() as stream, listed(stream):
            return ""
    except zipfile.BadZipFile:
        return NOT_WHOLE + _missing_end(landed)
    except OSError as error:
        raise _unreachable(error) from error


def _missing_end(landed: LandedZip) -> str:
    """A hint for a ZIP in parts without an end: its last part may be missing, which no file name reveals."""
    if same_name(landed.parts[0].name).endswith(".zip"):
        return ""
    return f", or its last part is missing: {landed.name}.part{landed.size_bytes}"
