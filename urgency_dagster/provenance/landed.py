"""The content of the landing folders and the version of each landed file."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from urgency_dagster.calls import ArchivePair, LandedTable, LandedZip, Landing, LandingCache, scan_landing
from urgency_dagster.errors import ArchiveError, SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.provenance.declared import landing_options
from urgency_dagster.provenance.keys import ATTENTION_SOURCE, CALL_ARCHIVE, SCORING_ARCHIVE
from urgency_dagster.scoring import ScoringArchive, ScoringLanding, scan_scoring
from urgency_dagster.writing import text_hash


@dataclass(frozen=True)
class LandedContent:
    """One scan of the landing folders. Content hashes are computed on request."""

    paths: StoragePaths

    @cached_property
    def calls(self) -> Landing:
        """The archive pairs, and the unusable files."""
        with self.collecting():
            return scan_landing(self.paths.landing_calls, self._cache, self._named_tables())

    def _named_tables(self) -> Mapping[str, LandedTable]:
        try:
            return landing_options(self.paths).tables
        except SettingsError:  # the plan and every step refuse the file with this error; the page still opens
            return {}

    @cached_property
    def scoring(self) -> ScoringLanding:
        """The archives of recordings to score, and the unusable files."""
        with self.collecting():
            return scan_scoring(self.paths.landing_scoring, self._cache)

    def partitions(self, key: dg.AssetKey) -> list[str | None]:
        """The landed partitions of an input; None for an input without partitions."""
        if key == CALL_ARCHIVE:
            return [*self.calls.pairs]
        return [*self.scoring.archives] if key == SCORING_ARCHIVE else [None]

    def collecting(self) -> AbstractContextManager[None]:
        """A block in which new facts about landed files are written together, see `LandingCache.collecting`."""
        return self._cache.collecting()

    @cached_property
    def _cache(self) -> LandingCache:
        return LandingCache(self.paths)

    def pair(self, archive: str) -> ArchivePair:
        """The pair of an archive.

        Raises:
            ArchiveError: one of its ZIPs is missing or cannot be used.
        """
        if pair := self.calls.pairs.get(archive):
            return pair
        raise ArchiveError(
            f"the ZIPs of {archive} are not (or no longer) complete in {self.paths.landing_calls}",
            "both ZIPs of the pair",
            "copy them there again",
        )

    def recordings(self, archive: str) -> ScoringArchive:
        """The archive of recordings with a name.

        Raises:
            ArchiveError: it is not in the landing folder, or cannot be used.
        """
        if found := self.scoring.archives.get(archive):
            return found
        raise ArchiveError(
            f"{archive} is not (or no longer) in {self.paths.landing_scoring}",
            "a ZIP or a folder with recordings",
            "copy it there again",
        )

    def is_table(self, archive: str | None) -> bool:
        """Whether an archive has landed as a table of the original's scripts."""
        return self.table(archive or "") is not None

    def table(self, archive: str) -> ArchivePair | None:
        """The CSV and the NPY file of an archive that landed as a table; None for other archives."""
        pair = self.calls.pairs.get(archive)
        return pair if pair and pair.is_table else None

    def zips(self, archive: str) -> ArchivePair:
        """The pair of an archive that landed as ZIPs.

        Raises:
            ArchiveError: one of its ZIPs is missing or cannot be used, or it landed as a table.
        """
        pair = self.pair(archive)
        if pair.is_table:
            raise ArchiveError(f"{archive} landed as a CSV with vectors", "ZIPs", "materialize processed_data alone")
        return pair

    def content_hash(self, key: dg.AssetKey, partition: str | None, progress: Progress = no_progress) -> str:
        """The SHA-256 of a landed input in hex. The file is read unless it was hashed since it last changed.

        Args:
            key: one of `keys.LANDED`.
            partition: the archive.
            progress: receives the megabytes that were read.

        Raises:
            ArchiveError: the file is missing, cannot be read, or changed while it was read.
        """
        if key == ATTENTION_SOURCE:
            if self.paths.attention_labels.is_file():
                return self._cache.of_pair(*self._attention_files, progress)
            return self._cache.of_file(self.paths.attention_pickle, progress)
        if key == SCORING_ARCHIVE:
            archive = self.recordings(partition or "")
            return _hash_of_files(archive, self._cache.of_files([*archive.files.values()], progress))
        pair = self.pair(partition or "")
        return self._cache.of_pair(pair.audio, pair.labels, progress)

    def version(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """`content_hash`, or None when the file is missing, cannot be read, or changed while it was read."""
        try:
            return self.content_hash(key, partition)
        except ArchiveError:
            return None

    def known_version(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """The content hash if the file was hashed since it last changed, otherwise None. No file is read."""
        if key == ATTENTION_SOURCE:
            if self.paths.attention_labels.is_file():
                return self._cache.known_pair(*self._attention_files)
            return self._cache.known_file(self.paths.attention_pickle)
        if key == SCORING_ARCHIVE:
            landed = self.scoring.archives.get(partition or "")
            hashes = self._cache.known_files([*landed.files.values()]) if landed else None
            return _hash_of_files(landed, hashes) if landed and hashes is not None else None
        pair = self.calls.pairs.get(partition or "")
        return self._cache.known_pair(pair.audio, pair.labels) if pair else None

    def fingerprint(self, key: dg.AssetKey, partition: str | None) -> tuple[list[int], list[int]] | None:
        """The sizes in bytes and the times in ns of the files of a landed input, or None if it has not landed."""
        numbers = [n for landed in self._files(key, partition) for n in self._cache.settled_fingerprint(landed)]
        return (numbers[::2], numbers[1::2]) if numbers else None

    def size_bytes(self, key: dg.AssetKey, partition: str | None) -> int:
        """The bytes of a landed input."""
        return sum(landed.size_bytes for landed in self._files(key, partition))

    @property
    def _attention_files(self) -> tuple[LandedZip, LandedZip]:
        """The pickle, and the file of its labels, which may be absent."""
        return LandedZip.whole(self.paths.attention_pickle), LandedZip.whole(self.paths.attention_labels)

    def _files(self, key: dg.AssetKey, partition: str | None) -> list[LandedZip]:
        pickle, pair = self.paths.attention_pickle, self.calls.pairs.get(partition or "")
        if key == ATTENTION_SOURCE:
            return [landed for landed in self._attention_files if landed.parts[0].is_file()] if pickle.is_file() else []
        if key == SCORING_ARCHIVE:
            archive = self.scoring.archives.get(partition or "")
            return [*archive.files.values()] if archive else []
        return [pair.audio, pair.labels] if pair else []


def _hash_of_files(archive: ScoringArchive, hashes: list[str]) -> str:
    """A hash of the names of all files, and of the content of those that are read."""
    return text_hash(
        *(part for named in zip(archive.files, hashes, strict=True) for part in named), "", *archive.others
    )
