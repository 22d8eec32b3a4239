"""The members of one ZIP, read into memory one by one, under the rules and limits of the extraction.

Nothing is written to the disk. The scoring of recordings reads each member once, so unpacking would only cost room.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import check_readable, opened
from urgency_dagster.calls.landing.zips import unpacked as unpacked_pieces
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.members import Member, plan_extraction
from urgency_dagster.calls.unpacking.worker import copy_bounded
from urgency_dagster.errors import Rejected

ANY_TYPE = ""
"""The suffix of every name: the caller chooses the file types."""


def zip_members(source: LandedZip, config: ExtractionConfig) -> list[Member]:
    """The members of a ZIP in its order, without folders and files of macOS. Unsafe names are rejected members.

    Raises:
        ArchiveError: the file is not a readable ZIP, or has more members than the limit.
        OSError: the file cannot be read.
    """
    return list(plan_extraction(source, ANY_TYPE, config.members).members())


@dataclass(frozen=True)
class ZipReader:
    """An open ZIP.

    Attributes:
        archive: the open ZIP.
        config: the limits.
    """

    archive: zipfile.ZipFile
    config: ExtractionConfig

    @classmethod
    @contextmanager
    def open(cls, source: LandedZip, config: ExtractionConfig) -> "Iterator[ZipReader]":
        """Opens a ZIP.

        Raises:
            ArchiveError: the file is not a readable ZIP.
            OSError: the file cannot be opened.
        """
        with opened(source) as archive:
            yield cls(archive, config)

    def read(self, member: Member, max_bytes: int | None = None) -> bytes:
        """The content of a member.

        Args:
            member: a member of `zip_members` that is not rejected.
            max_bytes: a limit below that of the configuration.

        Raises:
            Rejected: the member is encrypted or damaged, exceeds a limit, or the ZIP changed.
        """
        check_readable(member.entry)
        if member.entry.number >= len(self.archive.infolist()):
            raise Rejected(RejectReason.CORRUPT, "the ZIP changed while it was read")
        limit = self.config.max_member_bytes(member.entry)
        content = io.BytesIO()
        pieces = unpacked_pieces(self.archive, member.entry, member.end)
        copy_bounded(pieces, content, limit if max_bytes is None else min(limit, max_bytes))
        return content.getvalue()
