"""Which label belongs to which recording: the one with its id in the same folder, or the only one of that id."""

from collections import defaultdict
from collections.abc import Iterable

from urgency_dagster.scoring.recordings.discovery import FoundFile, FoundFiles
from urgency_dagster.scoring.rejects import Rejection, RejectReason

Key = tuple[str, ...]


def paired(found: FoundFiles) -> tuple[dict[FoundFile, FoundFile], list[Rejection]]:
    """The label of each recording that has one; and a rejection for each other label.

    A label in the same folder comes first. AI Hub ships labels in a ZIP of their own, so a label elsewhere among the
    sources is taken too, if it is the only one of its id and one recording has that id.
    """
    labels: dict[FoundFile, FoundFile] = {}
    rejected: list[Rejection] = []
    beside = _by_key(found.labels, in_folder=True)
    for key, recordings in _by_key(found.audio, in_folder=True).items():
        _pair(recordings, beside.pop(key, []), labels, rejected)
    alone = [audio for audio in found.audio if audio not in labels]
    elsewhere = _by_key((label for of_key in beside.values() for label in of_key), in_folder=False)
    for key, recordings in _by_key(alone, in_folder=False).items():
        _pair(recordings, elsewhere.pop(key, []), labels, rejected)
    left = (label for of_id in elsewhere.values() for label in of_id)
    rejected += [_rejection(label, RejectReason.MISSING_AUDIO, "no recording has its id") for label in left]
    return labels, rejected


def _by_key(files: Iterable[FoundFile], *, in_folder: bool) -> dict[Key, list[FoundFile]]:
    by_key: dict[Key, list[FoundFile]] = defaultdict(list)
    for file in files:
        by_key[(file.folder, file.id) if in_folder else (file.id,)].append(file)
    return by_key


def _pair(
    recordings: list[FoundFile],
    labels: list[FoundFile],
    pairs: dict[FoundFile, FoundFile],
    rejected: list[Rejection],
) -> None:
    """Adds the pair of one id, or the rejections of its labels."""
    if len(recordings) == len(labels) == 1:
        pairs[recordings[0]] = labels[0]
        return
    detail = f"{len(labels)} labels and {len(recordings)} recordings have its id"
    rejected += [_rejection(label, RejectReason.AMBIGUOUS_LABEL, detail) for label in labels]


def _rejection(label: FoundFile, reason: RejectReason, detail: str) -> Rejection:
    return Rejection(label.name, reason, detail, label.id)
