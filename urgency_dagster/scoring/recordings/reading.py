"""The recordings of some files, folders and ZIPs: found by name first, then read one by one.

Everything that is not used is a rejection with a reason.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls import MAX_LABEL_BYTES, ExtractionConfig, LabelTurns, LandedZip, ZipReader, read_turns
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster.listening import Turn
from urgency_dagster.scoring.recordings.discovery import FoundFile, find_files
from urgency_dagster.scoring.recordings.pairing import paired
from urgency_dagster.scoring.rejects import Rejection, RejectReason
from urgency_dagster.tables import ROLES

MAX_MEMBER_BYTES = 1 << 30
"""Maximum unpacked bytes of a recording in a ZIP: three hours at 44.1 kHz, mono, 16 bits. It is read into memory."""

ZIP_LIMITS = ExtractionConfig(member_bytes=MAX_MEMBER_BYTES)
"""The limits of ZIPs."""

OPEN_ZIPS = 2
"""ZIPs that stay open: one of recordings and one of labels."""


@dataclass(frozen=True)
class Recording:
    """One recording that is ready to be listened to.

    Attributes:
        file: its printable POSIX path. That of a member is below its ZIP: `calls.zip/a/b.wav`.
        id: the start of its name up to the first `_`. Several recordings can have one id.
        audio: the path of a file, or the bytes of a member.
        turns: the utterances of its label in the order of time; None without a usable label.
        utterance_ids: the ids in the label, in the order of `turns`.
        label_sha256: SHA-256 of the label that gives the turns; None without one.
        rejected: why its label, or utterances of it, are not used.
    """

    file: str
    id: str
    audio: Path | bytes = field(repr=False)
    turns: tuple[Turn, ...] | None = field(default=None, repr=False)
    utterance_ids: tuple[str, ...] = field(default=(), repr=False)
    label_sha256: str | None = None
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class FoundRecordings:
    """The recordings that were found by name. Nothing of their content is read yet.

    Attributes:
        audio: the recordings, sorted by name.
        labels: the label of each recording that has one.
        rejected: every other file, with a reason, sorted by name.
        config: the limits of ZIPs.
    """

    audio: tuple[FoundFile, ...]
    labels: Mapping[FoundFile, FoundFile]
    rejected: tuple[Rejection, ...]
    config: ExtractionConfig = ZIP_LIMITS

    def __len__(self) -> int:
        """The number of recordings."""
        return len(self.audio)

    def read(self) -> Iterator[Recording | Rejection]:
        """Yields each recording with the turns of its label, or the rejection of one that cannot be read.

        One recording is in memory at a time. `rejected` is not repeated.
        """
        with _Contents(self.config) as contents:
            for file in self.audio:
                yield _recording(file, self.labels.get(file), contents)

    def need_recogniser(self) -> bool:
        """Whether a recording has no usable label, so that its text must be recognised.

        Labels are read until one cannot be used. A usable one has the text of each utterance.
        """
        labels = [self.labels.get(file) for file in self.audio]
        with _Contents(self.config) as contents:
            return None in labels or any(_unusable(label, contents) for label in labels if label)


def find_recordings(
    sources: Sequence[Path], relative_to: Path | None = None, config: ExtractionConfig = ZIP_LIMITS
) -> FoundRecordings:
    """Finds the recordings in some files, folders (at any depth) and ZIPs, and the labels of them.

    Args:
        sources: files, folders and ZIPs. A recording that is named alone brings the label beside it.
        relative_to: the folder to which names are relative; None for names that begin as the sources do.
        config: the limits of ZIPs.
    """
    found = find_files(sources, relative_to, config)
    labels, without_audio = paired(found)
    rejected = sorted([*found.rejected, *without_audio], key=lambda rejection: rejection.file)
    return FoundRecordings(tuple(sorted(found.audio, key=lambda file: file.name)), labels, tuple(rejected), config)


def _recording(file: FoundFile, label: FoundFile | None, contents: "_Contents") -> Recording | Rejection:
    try:
        audio = contents.audio(file)
    except Rejected as rejected:
        return Rejection(file.name, RejectReason(rejected.reason), rejected.detail, file.id)
    if label is None:
        return Recording(file.name, file.id, audio)
    try:
        content, label_turns = _read_label(label, contents)
    except Rejected as rejected:
        refused = Rejection(label.name, RejectReason(rejected.reason), rejected.detail, label.id)
        return Recording(file.name, file.id, audio, rejected=(refused,))
    turns = tuple(
        Turn(item.start_ms or 0, item.end_ms or 0, item.text, _speaker(item.speaker)) for item in label_turns.utterances
    )
    bad = tuple(
        Rejection(label.name, RejectReason(entry.reason), entry.detail, label.id, entry.id)
        for entry in label_turns.rejected
    )
    ids = tuple(item.id for item in label_turns.utterances)
    return Recording(file.name, file.id, audio, turns, ids, hashlib.sha256(content).hexdigest(), bad)


def _read_label(label: FoundFile, contents: "_Contents") -> tuple[bytes, LabelTurns]:
    """The bytes of a label and its utterances.

    Raises:
        Rejected: it cannot be used.
    """
    content = contents.label(label)
    return content, read_turns(content, label.id)


def _unusable(label: FoundFile, contents: "_Contents") -> bool:
    try:
        _read_label(label, contents)
    except Rejected:
        return True
    return False


def _speaker(role: int | None) -> str | None:
    """The name of a role. An unknown role stays a number."""
    return None if role is None else ROLES.get(role, str(role))


class _Contents(ExitStack):
    """The contents of found files. A few ZIPs stay open, because their lists of members can be long.

    Args:
        config: the limits of ZIPs.
    """

    def __init__(self, config: ExtractionConfig) -> None:
        super().__init__()
        self._config = config
        self._open: OrderedDict[Path, tuple[ExitStack, ZipReader]] = OrderedDict()
        self.callback(self._close_all)

    def audio(self, file: FoundFile) -> Path | bytes:
        """The path of a file, or the bytes of a member.

        Raises:
            Rejected: the member cannot be read.
        """
        return file.path if file.member is None else self._member(file)

    def label(self, file: FoundFile) -> bytes:
        """The bytes of a label.

        Raises:
            Rejected: it cannot be read, or is larger than MAX_LABEL_BYTES.
        """
        if file.member is not None:
            return self._member(file, MAX_LABEL_BYTES)
        try:
            with file.path.open("rb") as stream:
                return stream.read(MAX_LABEL_BYTES + 1)  # `read_turns` refuses one that is too large
        except OSError as error:
            raise Rejected(RejectReason.UNREADABLE_FILE, f"cannot be read ({error.strerror})") from error

    def _member(self, file: FoundFile, max_bytes: int | None = None) -> bytes:
        try:
            return self._reader(file.path).read(file.member, max_bytes)  # type: ignore[arg-type]
        except (ArchiveError, OSError) as error:
            raise Rejected(RejectReason.UNREADABLE_FILE, "its ZIP cannot be read any more") from error

    def _reader(self, path: Path) -> ZipReader:
        if path not in self._open:
            while len(self._open) >= OPEN_ZIPS:
                self._open.popitem(last=False)[1][0].close()
            stack = ExitStack()
            self._open[path] = (stack, stack.enter_context(ZipReader.open(LandedZip.whole(path), self._config)))
        self._open.move_to_end(path)
        return self._open[path][1]

    def _close_all(self) -> None:
        for stack, _ in self._open.values():
            stack.close()
        self._open.clear()
