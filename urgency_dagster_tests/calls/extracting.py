"""Unpacks archive pairs in tests, and tells what lies in the folder afterwards."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from urgency_dagster.calls.landing.pairs import ArchivePair
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster_tests.conftest import Builder

ARCHIVE = "T_x"
LIMITS = ExtractionConfig()
NAME = "a_1.wav"
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


class Unpacking:
    """Unpacks an audio ZIP next to a label ZIP, which is empty by default."""

    changed: ArchivePair
    counts: dict[str, int]

    def __init__(self, paths: StoragePaths, build: Builder) -> None:
        self.files, self._landing, self._build = paths.archive(ARCHIVE), paths.landing_calls, build
        self._landing.mkdir(parents=True)

    def __call__(
        self, audio: bytes, config: ExtractionConfig = LIMITS, labels: bytes = b"", progress: Progress = no_progress
    ) -> dict[str, dict[str, Any]]:
        """The rows of the members by name, after ZIPs with these bytes were unpacked."""
        self.counts = extract_pair(self.pair(audio, labels), self.files, config, progress)
        return {row["member"]: row for row in self.rows()}

    def pair(self, audio: bytes, labels: bytes = b"") -> ArchivePair:
        """Both ZIPs, landed."""
        files = self._landing / "TS_x.zip", self._landing / "TL_x.zip"
        for file, content in zip(files, (audio, labels or self._build.zipped({})), strict=True):
            file.write_bytes(content)
        return ArchivePair(ARCHIVE, *map(LandedZip.whole, files))

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.files.members).to_pylist()
        return rows

    def written(self) -> dict[str, bytes]:
        """What lies below `Wave/`."""
        return contents(self.files.audio)

    def made(self) -> tuple[int, int]:
        """How many members were extracted, and how many reused."""
        return self.counts["extracted"], self.counts["reused"]

    def left(self) -> set[str]:
        """The names in the archive's folder."""
        return {path.name for path in self.files.folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder; an empty folder counts too, with a slash behind its name."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    files = {name: path.read_bytes() for name, path in found.items() if path.is_file()}
    return files | {f"{name}/": b"" for name, path in found.items() if path.is_dir() and not any(path.iterdir())}


def patched(archive: bytes, offset: int, value: bytes, header: bytes = CENTRAL) -> bytes:
    """The first header of a kind with some bytes replaced."""
    start = archive.index(header) + offset
    return archive[:start] + value + archive[start + len(value) :]


def listed_again(archive: bytes, *names: bytes) -> bytes:
    """A ZIP of one member whose directory lists it several times more, under names of the same length."""
    start, end = archive.index(CENTRAL), archive.index(END)
    entry = archive[start:end]
    directory = entry + b"".join(entry[:46] + name + entry[46 + len(name) :] for name in names)
    count = (1 + len(names)).to_bytes(2, "little")
    sizes = len(directory).to_bytes(4, "little")
    return archive[:start] + directory + archive[end : end + 8] + count * 2 + sizes + archive[end + 16 :]
