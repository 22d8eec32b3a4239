"""The extracted members of an archive become the utterance table; what is left out is in the reject table."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from urgency_dagster.calls.audio import duration_ms
from urgency_dagster.calls.labels import (
    BadUtterance,
    CallLabel,
    Utterance,
    labelled_entries,
    parse_label,
    parse_utterances,
)
from urgency_dagster.calls.workers import ordered_map
from urgency_dagster.errors import ArtefactError, AudioError, LabelError, Rejected
from urgency_dagster.progress import Progress, silent
from urgency_dagster.storage import ArchivePaths, StoragePaths, table_sink
from urgency_dagster.tables import REJECTS, SENTIMENTS, URGENCY_LEVELS, UTTERANCES, RejectReason

DURATION_MIN_MS = 500
"""Shorter utterances are left out. Source: the original pipeline drops segments under 0.5 s."""


@dataclass(frozen=True)
class CallFiles:
    """The files that carry one call's id: usually one label and one recording."""

    call_id: str
    labels: tuple[Path, ...]
    audio: tuple[Path, ...]


@dataclass
class CallRows:
    """What one call adds to the tables; `labelled` counts the entries of its `utterances`."""

    utterances: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    labelled: int = 0


def build_utterance_table(
    paths: StoragePaths, archive: str, *, workers: int = -1, progress: Progress = silent
) -> dict[str, Any]:
    """Writes `utterances.parquet` and `rejects.parquet` of one archive.

    Args:
        paths: the storage root.
        archive: the archive whose members were extracted.
        workers: processes that parse and decode; 1 is this process, -1 one per core.
        progress: told the calls done so far.

    Returns:
        The funnel: counts of members, calls and utterances, kept and rejected by reason.

    Raises:
        ArtefactError: the archive was not extracted.
    """
    files = paths.archive(archive)
    if not files.members.is_file():
        raise ArtefactError(f"{archive} has no members.parquet", "an extracted archive", "materialise call_recordings")
    members = pq.read_table(files.members).to_pylist()
    calls = _calls(members, files)
    rows = ordered_map(partial(call_rows, archive=archive, root=paths.root), calls, workers)
    funnel = _write(files, _rejected_members(members), _reporting(rows, len(calls), progress))
    return {"members": len(members), "calls": len(calls), **funnel}


def _reporting(rows: Iterable[CallRows], total: int, progress: Progress) -> Iterator[CallRows]:
    for done, row in enumerate(rows, start=1):
        progress(done, total)
        yield row


def _calls(members: list[dict[str, Any]], files: ArchivePaths) -> list[CallFiles]:
    """The extracted members by call id, in id order. The id is the file's stem up to its first `_`."""
    by_kind: dict[str, dict[str, list[Path]]] = {"audio": defaultdict(list), "label": defaultdict(list)}
    for member in members:
        if member["path"] is not None:
            folder = files.audio if member["kind"] == "audio" else files.labels
            by_kind[member["kind"]][_call_id(member["path"])].append(folder / member["path"])
    ids = sorted(by_kind["audio"].keys() | by_kind["label"].keys())
    return [CallFiles(id_, tuple(by_kind["label"][id_]), tuple(by_kind["audio"][id_])) for id_ in ids]


def _call_id(path: str) -> str:
    return Path(path).stem.partition("_")[0]


def _rejected_members(members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"archive": m["archive"], "member": m["member"], "reason": m["reason"], "detail": m["detail"]}
        for m in members
        if m["reason"] is not None
    ]


def call_rows(call: CallFiles, archive: str, root: Path) -> CallRows:
    """The rows of one call: its kept utterances, or one reject row for the call and one for each utterance."""
    try:
        label, wav = _readable_call(call)
        utterances, bad = parse_utterances(label.utterances)
        end_ms = duration_ms(wav)
    except AudioError as error:
        return _rejected_call(call, archive, Rejected(RejectReason.UNREADABLE_AUDIO, error.args[0]))
    except Rejected as rejected:
        return _rejected_call(call, archive, rejected)
    rows = CallRows(labelled=len(label.utterances))
    for utterance in sorted(utterances, key=lambda u: (u.start_ms if u.start_ms is not None else -1, u.id)):
        _place(rows, utterance, label, end_ms, archive, wav.relative_to(root).as_posix())
    rows.rejects += [_utterance_reject(archive, call.call_id, entry) for entry in bad]
    return rows


def _readable_call(call: CallFiles) -> tuple[CallLabel, Path]:
    """The label and the recording of a call that may be used.

    Raises:
        Rejected: the first of the call-level rules that it breaks.
    """
    for paths, missing in ((call.labels, RejectReason.MISSING_LABEL), (call.audio, RejectReason.MISSING_AUDIO)):
        if not paths:
            raise Rejected(missing, "no member of that kind carries the id")
        if len(paths) > 1:
            raise Rejected(RejectReason.DUPLICATE_CALL, f"{len(paths)} members carry the id")
    try:
        label = parse_label(call.labels[0].read_bytes())
    except LabelError as error:
        raise Rejected(RejectReason.UNREADABLE_LABEL, error.args[0]) from error
    if label.id != call.call_id:
        raise Rejected(RejectReason.ID_MISMATCH, "the label's _id is not the one in its file name")
    if label.urgency not in URGENCY_LEVELS:
        raise Rejected(RejectReason.UNKNOWN_URGENCY, "urgencyLevel is missing or not one of the known classes")
    if label.sentiment not in SENTIMENTS:
        raise Rejected(RejectReason.UNKNOWN_SENTIMENT, "sentiment is missing or not one of the known classes")
    return label, call.audio[0]


def _rejected_call(call: CallFiles, archive: str, rejected: Rejected) -> CallRows:
    """A reject row for the call or each of its copies, and one for each utterance that its labels still tell of."""
    row = {"archive": archive, "_id": call.call_id, "reason": rejected.reason, "detail": rejected.detail}
    copies = [path for paths in (call.labels, call.audio) if len(paths) > 1 for path in paths]
    members = copies or [*call.labels, *call.audio][:1]
    told = [(path, id_) for path in call.labels for id_ in _utterance_ids(path)]
    rejects = [{**row, "member": path.name} for path in members]
    rejects += [{**row, "member": path.name, "utterance_id": id_} for path, id_ in told]
    return CallRows(rejects=rejects, labelled=len(told))


def _utterance_ids(path: Path) -> list[str]:
    good, bad = parse_utterances(labelled_entries(path.read_bytes()))
    return [utterance.id for utterance in good] + [entry.id for entry in bad]


def _place(rows: CallRows, utterance: Utterance, label: CallLabel, wav_end_ms: int, archive: str, wav: str) -> None:
    """Adds the utterance to the kept rows or to the rejects."""
    try:
        start_ms, end_ms = _times(utterance)
        duration_s = _duration_ms(start_ms, end_ms, wav_end_ms) / 1000
    except Rejected as rejected:
        bad = BadUtterance(utterance.id, RejectReason(rejected.reason), rejected.detail)
        rows.rejects.append(_utterance_reject(archive, label.id, bad))
        return
    row = _call_columns(label, archive, wav) | {"startAt": start_ms, "endAt": end_ms, "duration_s": duration_s}
    rows.utterances.append({**row, "utterance_id": utterance.id, "text": utterance.text, "speaker": utterance.speaker})


def _times(utterance: Utterance) -> tuple[int, int]:
    """Start and end of the label in ms.

    Raises:
        Rejected: one is missing, the start is negative, or the end is not after it.
    """
    start_ms, end_ms = utterance.start_ms, utterance.end_ms
    if start_ms is None or end_ms is None:
        raise Rejected(RejectReason.BAD_TIMES, "startAt or endAt is missing")
    if start_ms < 0 or end_ms <= start_ms:
        raise Rejected(RejectReason.BAD_TIMES, "startAt is negative or endAt is not after it")
    return start_ms, end_ms


def _duration_ms(start_ms: int, end_ms: int, wav_end_ms: int) -> int:
    """The audio that is left after clipping to the end of the recording.

    Raises:
        Rejected: none is left, or less than `DURATION_MIN_MS`.
    """
    if start_ms >= wav_end_ms:
        raise Rejected(RejectReason.OUTSIDE_AUDIO, "starts after the recording ends")
    duration = min(end_ms, wav_end_ms) - start_ms
    if duration < DURATION_MIN_MS:
        raise Rejected(RejectReason.TOO_SHORT, f"{duration} ms of audio, at least {DURATION_MIN_MS} are needed")
    return duration


def _call_columns(label: CallLabel, archive: str, wav: str) -> dict[str, Any]:
    """The columns that every utterance of a call shares."""
    return {
        "_id": label.id,
        "wav_file_path": wav,
        "sentiment": label.sentiment,
        "urgencyLevel": label.urgency,
        "urgency_label": URGENCY_LEVELS.index(str(label.urgency)),
        "disasterMedium": label.disaster_medium,
        "archive": archive,
        "gender": label.gender,
        "disasterLarge": label.disaster_large,
    }


def _utterance_reject(archive: str, call_id: str, entry: BadUtterance) -> dict[str, Any]:
    return {
        "archive": archive,
        "_id": call_id,
        "utterance_id": entry.id,
        "reason": entry.reason,
        "detail": entry.detail,
    }


def _write(files: ArchivePaths, rejects: list[dict[str, Any]], calls: Iterable[CallRows]) -> dict[str, Any]:
    """Streams the rows of all calls into both tables; returns the counts."""
    kept, labelled, reasons, kept_calls = 0, 0, Counter(row["reason"] for row in rejects), 0
    with ExitStack() as stack:
        utterance_sink = stack.enter_context(table_sink(files.utterances, UTTERANCES))
        reject_sink = stack.enter_context(table_sink(files.rejects, REJECTS))
        reject_sink.add(rejects)
        for rows in calls:
            utterance_sink.add(rows.utterances)
            reject_sink.add(rows.rejects)
            kept, labelled = kept + len(rows.utterances), labelled + rows.labelled
            kept_calls += bool(rows.utterances)
            reasons.update(row["reason"] for row in rows.rejects)
    return {"labelled": labelled, "kept": kept, "kept_calls": kept_calls, "rejects": dict(sorted(reasons.items()))}
