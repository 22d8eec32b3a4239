"""What was found out about landed files by reading them, kept until a file is touched.

A look at the landing folder happens every few seconds and must not read tens of gigabytes each time.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from filelock import FileLock
from pydantic import BaseModel, TypeAdapter

from urgency_dagster.calls.landing.names import same_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import listed
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import text_hash, write_json

NOT_WHOLE = "not a complete ZIP; still being copied, or damaged"

HASH, DIRECTORY = "sha256", "directory"
"""What is found out: the hash of the content, and why its list of members cannot be read (or an empty text)."""


class Known(BaseModel):
    """What is known of one landed file or ZIP.

    Attributes:
        look: size, time in ns and inode of each of its parts when it was read.
        facts: what was found out, by `HASH` or `DIRECTORY`.
    """

    look: list[int]
    facts: dict[str, str]


STORED = TypeAdapter(dict[str, Known])


class LandingCache:
    """Facts about landed files, found out once per (path, size, mtime, inode) of every part.

    They are kept in one JSON file that several processes may use at the same time. Entries of files that are gone are
    dropped whenever something is added; a file that cannot be read as JSON counts as empty.

    Args:
        paths: the storage root.
    """

    def __init__(self, paths: StoragePaths) -> None:
        self._root = paths.root
        self._file = paths.landing_hashes
        self._known = self._stored()

    def of_file(self, path: Path) -> str:
        """The SHA-256 of a landed file, in hex.

        Raises:
            ArchiveError: it cannot be read, or changed while it was read.
        """
        return self.content_hash(LandedZip.whole(path))

    def of_pair(self, audio: LandedZip, labels: LandedZip) -> str:
        """The identity of a pair's content: the same bytes under any path and time, joined or not, give the same text.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return text_hash(self.content_hash(audio), self.content_hash(labels))

    def content_hash(self, landed: LandedZip) -> str:
        """The SHA-256 of the content, in hex; for a ZIP in parts that of the joined ZIP.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return self._fact(landed, HASH, _content_hash)

    def why_unreadable(self, landed: LandedZip) -> str:
        """Why the members of a ZIP cannot be listed, or an empty text.

        Raises:
            ArchiveError: a file cannot be read, or changed while it was read.
        """
        return self._fact(landed, DIRECTORY, why_unreadable)

    def _fact(self, landed: LandedZip, name: str, find: Callable[[LandedZip], str]) -> str:
        """A fact from memory, from the file, or found out now."""
        look = landed.fingerprint()
        key = self._key(landed)
        fact = _recalled(self._known, key, look, name)
        if fact is None:  # another process may have found it out meanwhile
            self._known = self._stored()
            fact = _recalled(self._known, key, look, name)
        if fact is None:
            fact = find(landed)
            if landed.fingerprint() != look:
                raise ArchiveError("changed while it was read", "a file that is complete", "wait until it is copied")
            self._remember(key, look, name, fact)
        return fact

    def _key(self, landed: LandedZip) -> str:
        # Names may hold bytes that are no UTF-8, which JSON cannot store. Relative, so that the root can be moved.
        return quote_from_bytes(os.fsencode(os.path.relpath(landed.parts[0], self._root)))

    def _stored(self) -> dict[str, Known]:
        try:
            return STORED.validate_json(self._file.read_bytes())
        except (OSError, ValueError):  # absent, damaged or of another version
            return {}

    def _remember(self, key: str, look: list[int], name: str, fact: str) -> None:
        with FileLock(f"{self._file}.lock"):  # makes the folder too
            stored = self._stored()
            before = stored.get(key)
            facts = before.facts if before and before.look == look else {}
            kept = {key: known for key, known in stored.items() if self._is_there(key)}
            self._known = {**kept, key: Known(look=look, facts={**facts, name: fact})}
            write_json(self._file, {key: known.model_dump() for key, known in self._known.items()})

    def _is_there(self, key: str) -> bool:
        return os.path.lexists(self._root / os.fsdecode(unquote_to_bytes(key)))


def _recalled(known: dict[str, Known], key: str, look: list[int], name: str) -> str | None:
    entry = known.get(key)
    return entry.facts.get(name) if entry and entry.look == look else None


def _content_hash(landed: LandedZip) -> str:
    try:
        with landed.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreachable(error) from error


def _unreachable(error: OSError) -> ArchiveError:
    """A missing permission or a disk that fails, which another look may find mended."""
    return ArchiveError(f"cannot be read ({error.strerror})", "a file that can be read", "copy it again")


def why_unreadable(landed: LandedZip) -> str:
    """Why the members of a ZIP cannot be listed, or an empty text.

    Raises:
        ArchiveError: the file cannot be read at all.
    """
    try:
        with landed.open() as stream, listed(stream):
            return ""
    except zipfile.BadZipFile:
        return NOT_WHOLE + _missing_end(landed)
    except OSError as error:
        raise _unreachable(error) from error


def _missing_end(landed: LandedZip) -> str:
    """What to look for when the end of a ZIP in parts is not there: nothing else tells that a last part is missing."""
    if same_name(landed.parts[0].name).endswith(".zip"):
        return ""
    return f", or its last part is missing: {landed.name}.part{landed.size_bytes}"
