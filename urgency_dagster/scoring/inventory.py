"""What an archive of recordings holds: every recording with the hash of its file, and every rejection."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.scoring.landing import ScoringArchive
from urgency_dagster.scoring.recordings.reading import Recording, find_recordings
from urgency_dagster.scoring.rejects import Rejection, RejectReason
from urgency_dagster.scoring.tables import RECORDINGS
from urgency_dagster.writing import file_hash, table_sink


def write_recordings(paths: StoragePaths, archive: ScoringArchive, progress: Progress = no_progress) -> None:
    """Writes `recordings.parquet` of an archive. Every file is read once, and no recording is decoded.

    Args:
        paths: the storage root.
        archive: the archive.
        progress: receives the number of finished recordings.
    """
    found = find_recordings(archive.sources, archive.top)
    with table_sink(paths.scoring(archive.name).recordings, RECORDINGS) as sink:
        sink.add([_rejected_row(archive.name, rejection) for rejection in found.rejected])
        for done, outcome in enumerate(found.read(), start=1):
            sink.add(list(_rows(archive.name, outcome)))
            progress(done, len(found))


def _rows(archive: str, outcome: Recording | Rejection) -> Iterator[dict[str, Any]]:
    if isinstance(outcome, Rejection):
        yield _rejected_row(archive, outcome)
        return
    try:
        sha256 = _content_hash(outcome.audio)
    except OSError as error:
        detail = f"cannot be read ({error.strerror})"
        yield _rejected_row(archive, Rejection(outcome.file, RejectReason.UNREADABLE_FILE, detail, outcome.id))
        return
    yield {
        "archive": archive,
        "file": outcome.file,
        "_id": outcome.id,
        "turns": None if outcome.turns is None else len(outcome.turns),
        "file_sha256": sha256,
        "label_sha256": outcome.label_sha256,
    }
    for rejection in outcome.rejected:
        yield _rejected_row(archive, rejection)


def _content_hash(audio: Path | bytes) -> str:
    return file_hash(audio) if isinstance(audio, Path) else hashlib.sha256(audio).hexdigest()


def _rejected_row(archive: str, rejection: Rejection) -> dict[str, Any]:
    return {
        "archive": archive,
        "file": rejection.file,
        "_id": rejection.id,
        "utterance_id": rejection.utterance_id,
        "reason": rejection.reason,
        "detail": rejection.detail,
    }
