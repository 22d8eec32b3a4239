"""The utterances of a label, for a call that is scored. Its urgency and sentiment may be missing or unknown."""

from dataclasses import dataclass

from urgency_dagster.calls.table.labels import (
    MAX_LABEL_BYTES,
    BadUtterance,
    Utterance,
    parse_label,
    parse_utterances,
)
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import LabelError, Rejected


@dataclass(frozen=True)
class LabelTurns:
    """The utterances of a label.

    Attributes:
        utterances: those with a start and an end, sorted by start and id. Whether they are an interval of the
            recording is not checked here.
        rejected: the others, each with its reason.
    """

    utterances: tuple[Utterance, ...]
    rejected: tuple[BadUtterance, ...]


def read_turns(data: bytes, call_id: str) -> LabelTurns:
    """Parses a label for its utterances.

    Args:
        data: the label file, see `parse_label`.
        call_id: the id in the name of the file.

    Raises:
        Rejected: the label is too large, no label, or that of another call; or no utterance of it can be used.
    """
    if len(data) > MAX_LABEL_BYTES:
        raise Rejected(RejectReason.TOO_LARGE, f"a label of {len(data)} bytes; at most {MAX_LABEL_BYTES}")
    try:
        label = parse_label(data)
    except LabelError as error:
        raise Rejected(RejectReason.UNREADABLE_LABEL, error.args[0]) from error
    if label.id != call_id:
        raise Rejected(RejectReason.ID_MISMATCH, "the label's _id is not the one in its file name")
    return _with_times(*parse_utterances(label.utterances))


def _with_times(utterances: list[Utterance], bad: list[BadUtterance]) -> LabelTurns:
    timed = [(item.start_ms, item.id, item) for item in utterances if None not in (item.start_ms, item.end_ms)]
    bad += [
        BadUtterance(item.id, RejectReason.BAD_TIMES, "startAt or endAt is missing")
        for item in utterances
        if None in (item.start_ms, item.end_ms)
    ]
    if not timed:
        raise Rejected(RejectReason.NO_UTTERANCES, f"none of its {len(bad)} utterances can be used")
    return LabelTurns(tuple(item for *_, item in sorted(timed, key=lambda each: each[:2])), tuple(bad))
