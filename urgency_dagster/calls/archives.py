"""Which archive pairs have landed, and what identifies their content. Nothing is unpacked here."""

import os
import re
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls.parts import LandedZip
from urgency_dagster.storage import StoragePaths, file_hash, read_json, text_hash, write_json

AUDIO, LABEL = "S", "L"
PAIR_NAME = re.compile(r"(?P<split>[TV])(?P<kind>[SL])_(?P<rest>[^/\\]+)\.zip", re.IGNORECASE)
"""AI Hub's naming: split (Training, Validation), kind (Source, Label), then region and category."""


@dataclass(frozen=True)
class ArchivePair:
    """The audio ZIP and the label ZIP of one region, category and split.

    Attributes:
        archive: the pair's name less its S/L letter, e.g. `T_광주_구급`; also the partition key.
        audio: `TS_….zip` or `VS_….zip`.
        labels: `TL_….zip` or `VL_….zip`.
    """

    archive: str
    audio: LandedZip
    labels: LandedZip

    def look(self) -> list[int]:
        """What changes when one of the files is touched."""
        return [*self.audio.look(), *self.labels.look()]

    @property
    def size_bytes(self) -> int:
        """The bytes of both ZIPs."""
        return self.audio.size_bytes + self.labels.size_bytes


@dataclass(frozen=True)
class Landing:
    """What lies in `landing/calls`: pairs that can be read, and files that cannot be used yet with the reason."""

    pairs: dict[str, ArchivePair] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def scan_landing(folder: Path) -> Landing:
    """The complete pairs below `folder`, at any depth, and every ZIP that is not part of one.

    Names are compared in NFC, because copies from macOS carry decomposed Hangul. Names that no partition key can have
    (not printable, which includes bytes that are no UTF-8; or with `...`, which means a range of keys) are refused.
    """
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    landing = Landing()
    for path in _zips(folder):
        name = unicodedata.normalize("NFC", path.name)
        match = PAIR_NAME.fullmatch(name)
        if match is None or "..." in name or not name.isprintable():
            landing.problems[_shown(path, folder)] = "not named like an AI Hub archive (TS_x, TL_x, VS_x or VL_x)"
            continue
        archive = f"{match['split'].upper()}_{match['rest']}"
        found[archive][match["kind"].upper()].append(path)
    for archive, kinds in sorted(found.items()):
        _add_pair(landing, archive, kinds, folder)
    return landing


def _zips(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".zip") and not name.startswith("._"):
                yield Path(parent) / name


def _shown(path: Path, folder: Path) -> str:
    return printable(unicodedata.normalize("NFC", path.relative_to(folder).as_posix()))


def printable(name: str) -> str:
    """A file name as it can be shown and stored: control characters and undecodable bytes are replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def _add_pair(landing: Landing, archive: str, kinds: dict[str, list[Path]], folder: Path) -> None:
    """Adds the pair when both of its ZIPs are there once and readable, otherwise the reasons why not."""
    problems: dict[str, str] = {}
    for kind, other in ((AUDIO, LABEL), (LABEL, AUDIO)):
        paths = kinds.get(kind, [])
        for path in paths:
            if not kinds.get(other):
                problems[_shown(path, folder)] = f"its partner {archive[0]}{other}{archive[1:]}.zip has not landed"
            elif len(paths) > 1:
                problems[_shown(path, folder)] = f"lies here {len(paths)} times; leave one copy"
            elif not zipfile.is_zipfile(path):
                problems[_shown(path, folder)] = "not a complete ZIP; still being copied, or damaged"
    if problems:
        landing.problems.update(problems)
    else:
        landing.pairs[archive] = ArchivePair(
            archive, LandedZip.whole(kinds[AUDIO][0]), LandedZip.whole(kinds[LABEL][0])
        )


class ContentHashes:
    """SHA-256 of landed files, computed once per (path, size, mtime, inode) and kept in a JSON file."""

    def __init__(self, paths: StoragePaths) -> None:
        self._file = paths.landing_hashes
        self._known = self._stored()

    def _stored(self) -> dict[str, str]:
        return read_json(self._file) if self._file.is_file() else {}

    def of_file(self, path: Path) -> str:
        """The SHA-256 of `path`, read again only if the file was touched since the last time."""
        stat = path.stat()
        # A path may hold bytes that are no UTF-8, which JSON cannot store.
        name = str(path).encode(errors="backslashreplace").decode()
        key = f"{name}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
        if key not in self._known:
            content = file_hash(path)
            # Read again, because another process may have added a hash meanwhile.
            kept = {k: v for k, v in self._stored().items() if not k.startswith(f"{name}|")}
            self._known = {**kept, key: content}
            write_json(self._file, self._known)
        return self._known[key]

    def of_pair(self, pair: ArchivePair) -> str:
        """The identity of a pair's content: the same bytes under any path and time give the same text."""
        return text_hash(self.of_file(pair.audio.parts[0]), self.of_file(pair.labels.parts[0]))
