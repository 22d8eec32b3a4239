"""The options of `call_recordings`."""

from typing import ClassVar

from pydantic import Field

from urgency_dagster.calls.landing.zips import Entry
from urgency_dagster.configuration import Configuration

MIN_BOMB_BYTES = 1 << 20
"""A member of at most this size unpacked is accepted at any compression ratio."""


class ExtractionConfig(Configuration):
    """Limits that protect the disk from a damaged or malicious ZIP, and the number of worker processes.

    The limits are checked while the members are written, because the sizes in a ZIP header can be wrong.
    """

    machine: ClassVar[frozenset[str]] = frozenset({"reserve_bytes", "workers"})

    members: int = Field(1_000_000, ge=1)
    """Maximum number of members in one ZIP."""

    member_bytes: int = Field(256 << 20, ge=1)
    """Maximum unpacked bytes of one member. A call of 180 s at 8 kHz has 2.9 MB."""

    total_bytes: int = Field(500 << 30, ge=1)
    """Maximum unpacked bytes of one ZIP."""

    ratio: int = Field(200, ge=1)
    """Maximum ratio of unpacked to packed bytes of one member. Members up to 1 MiB are exempt."""

    reserve_bytes: int = Field(1 << 30, ge=0)
    """Bytes of the disk that must stay free."""

    workers: int = Field(-1, ge=-1)
    """Worker processes that unpack. -1 is one per core, or this process alone for a small pair."""

    def max_member_bytes(self, entry: Entry) -> int:
        """The maximum unpacked bytes of one member, from its packed size."""
        return min(self.member_bytes, max(MIN_BOMB_BYTES, entry.packed_bytes * self.ratio))
