"""The label and the recording of one call become rows of the utterance table and of the reject table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from urgency_dagster.calls.table.intervals import kept_interval
from urgency_dagster.calls.table.labels import (
    BadUtterance,
    CallLabel,
    Utterance,
    labelled_entries,
    parse_label,
    parse_utterances,
    read_label,
)
from urgency_dagster.calls.table.quality import RecordingQuality
from urgency_dagster.calls.table.values import known_class, shown_class
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import AudioError, LabelError, Rejected
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS


@dataclass(frozen=True)
class CallFiles:
    """The extracted files of one call id: usually one label and one recording."""

    call_id: str
    labels: tuple[Path, ...]
    audio: tuple[Path, ...]


@dataclass
class CallRows:
    """The rows of one call. `labelled` is the number of utterances in its labels."""

    utterances: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    labelled: int = 0


def call_rows(call: CallFiles, archive: str, root: Path) -> CallRows:
    """The rows of one call.

    A usable call has one row per kept utterance and one reject row per other utterance. A rejected call has a reject
    row for itself and one for each utterance.
    """
    try:
        label, wav = _usable_files(call)
        recording = RecordingQuality.read(wav)
    except AudioError as error:
        return _rejected_call(call, archive, Rejected(RejectReason.UNREADABLE_AUDIO, error.args[0]))
    except Rejected as rejected:
        return _rejected_call(call, archive, rejected)
    rows = CallRows(labelled=len(label.utterances))
    columns = _call_columns(label, recording, archive, wav.relative_to(root).as_posix())
    utterances, bad = parse_utterances(label.utterances)
    for utterance in sorted(utterances, key=lambda u: (u.start_ms if u.start_ms is not None else -1, u.id)):
        try:
            rows.utterances.append(columns | _utterance_columns(utterance, recording))
        except Rejected as rejected:
            bad.append(BadUtterance(utterance.id, RejectReason(rejected.reason), rejected.detail))
    if not rows.utterances:
        rows.rejects.append(_call_without_utterances(call, archive, len(label.utterances)))
    rows.rejects += [_utterance_reject(archive, call.call_id, entry) for entry in bad]
    return rows


def _usable_files(call: CallFiles) -> tuple[CallLabel, Path]:
    """The parsed label and the recording of a usable call.

    Raises:
        Rejected: the call breaks a rule of calls; the first one is the reason.
    """
    for paths, missing in ((call.labels, RejectReason.MISSING_LABEL), (call.audio, RejectReason.MISSING_AUDIO)):
        if not paths:
            raise Rejected(missing, "no member of that kind carries the id")
        if len(paths) > 1:
            raise Rejected(RejectReason.DUPLICATE_CALL, f"{len(paths)} members carry the id")
    try:
        label = parse_label(read_label(call.labels[0]))
    except LabelError as error:
        raise Rejected(RejectReason.UNREADABLE_LABEL, error.args[0]) from error
    if label.id != call.call_id:
        raise Rejected(RejectReason.ID_MISMATCH, "the label's _id is not the one in its file name")
    return _with_known_classes(label), call.audio[0]


def _with_known_classes(label: CallLabel) -> CallLabel:
    """The label with its classes in the spelling of the data set.

    Raises:
        Rejected: a class is missing or unknown. The reason shows its value.
    """
    urgency = known_class(label.urgency, URGENCY_LEVELS)
    if urgency is None:
        raise Rejected(RejectReason.UNKNOWN_URGENCY, _unknown_class("urgencyLevel", label.urgency, URGENCY_LEVELS))
    sentiment = known_class(label.sentiment, SENTIMENTS)
    if sentiment is None:
        raise Rejected(RejectReason.UNKNOWN_SENTIMENT, _unknown_class("sentiment", label.sentiment, SENTIMENTS))
    return label.model_copy(update={"urgency": urgency, "sentiment": sentiment})


def _unknown_class(field: str, value: Any, known: Sequence[str]) -> str:
    found = "missing" if value is None else shown_class(value)
    return f"{field} is {found}; expected {', '.join(known[:-1])} or {known[-1]}"


def _rejected_call(call: CallFiles, archive: str, rejected: Rejected) -> CallRows:
    """The reject rows of a call: one for it or for each of its copies, and one for each utterance in its labels."""
    row = {"archive": archive, "_id": call.call_id, "reason": rejected.reason, "detail": rejected.detail}
    copies = [path for paths in (call.labels, call.audio) if len(paths) > 1 for path in paths]
    members = copies or [*call.labels, *call.audio][:1]
    utterances = [(path, utterance_id) for path in call.labels for utterance_id in _utterance_ids(path)]
    rejects = [{**row, "member": path.name} for path in members]
    rejects += [{**row, "member": path.name, "utterance_id": utterance_id} for path, utterance_id in utterances]
    return CallRows(rejects=rejects, labelled=len(utterances))


def _utterance_ids(path: Path) -> list[str]:
    """The ids of all entries in a label file, also of a label that is not a usable call."""
    try:
        good, bad = parse_utterances(labelled_entries(read_label(path)))
    except LabelError:
        return []
    return [utterance.id for utterance in good] + [entry.id for entry in bad]


def _call_without_utterances(call: CallFiles, archive: str, labelled: int) -> dict[str, Any]:
    return {
        "archive": archive,
        "member": call.labels[0].name,
        "_id": call.call_id,
        "reason": RejectReason.NO_UTTERANCES,
        "detail": f"none of its {labelled} utterances is kept",
    }


def _utterance_columns(utterance: Utterance, recording: RecordingQuality) -> dict[str, Any]:
    """The columns of one kept utterance.

    Raises:
        Rejected: its times are not an interval of the recording, or the interval is too short.
    """
    start_ms, end_ms, duration_ms = kept_interval(utterance.start_ms, utterance.end_ms, recording.duration_ms)
    return {
        "utterance_id": utterance.id,
        "text": utterance.text,
        "speaker": utterance.speaker,
        "startAt": start_ms,
        "endAt": end_ms,
        "duration_s": duration_ms / 1000,
        **recording.flags(start_ms, end_ms),
    }


def _call_columns(label: CallLabel, recording: RecordingQuality, archive: str, wav: str) -> dict[str, Any]:
    """The columns with the same value for all utterances of a call."""
    return {
        "_id": label.id,
        "wav_file_path": wav,
        "sentiment": label.sentiment,
        "urgencyLevel": label.urgency,
        "urgency_label": URGENCY_LEVELS.index(label.urgency),
        "disasterMedium": label.disaster_medium,
        "archive": archive,
        "gender": label.gender,
        "disasterLarge": label.disaster_large,
        "audio_sha256": recording.audio_sha256,
    }


def _utterance_reject(archive: str, call_id: str, entry: BadUtterance) -> dict[str, Any]:
    return {
        "archive": archive,
        "_id": call_id,
        "utterance_id": entry.id,
        "reason": entry.reason,
        "detail": entry.detail,
    }
