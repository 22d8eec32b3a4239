"""The content of the landing folders and the version of each landed file."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from urgency_dagster.calls import Landing, LandingCache, scan_landing
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import ATTENTION_SOURCE


@dataclass(frozen=True)
class LandedContent:
    """One scan of the landing folders. Content hashes are computed on request."""

    paths: StoragePaths

    @cached_property
    def calls(self) -> Landing:
        """The archive pairs, and the unusable files."""
        with self.collecting():
            return scan_landing(self.paths.landing_calls, self._cache)

    def collecting(self) -> AbstractContextManager[None]:
        """A block in which new facts about landed files are written together, see `LandingCache.collecting`."""
        return self._cache.collecting()

    @cached_property
    def _cache(self) -> LandingCache:
        return LandingCache(self.paths)

    def version(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """The content hash of an external asset.

        Returns:
            SHA-256 in hex, or None when the file is absent or changed during reading. A pair that changed becomes
            unusable.
        """
        pickle, pair = self.paths.attention_pickle, self.calls.pairs.get(partition or "")
        try:
            if key == ATTENTION_SOURCE:
                return self._cache.of_file(pickle) if pickle.is_file() else None
            return self._cache.of_pair(pair.audio, pair.labels) if pair else None
        except ArchiveError as error:
            if pair:
                self.calls.withdraw(pair.archive, str(error.args[0]))
            return None
