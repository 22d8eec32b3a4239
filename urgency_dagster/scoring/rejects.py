"""What is not scored: one rejection with a reason for each file, label and turn. The reasons are a closed set."""

from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a file, a label, a recording or a turn is not used. `docs/scoring.md` explains each."""

    NO_RECORDING = "no_recording"
    UNSAFE_NAME = "unsafe_name"
    DUPLICATE_NAME = "duplicate_name"
    UNFINISHED = "unfinished"
    UNKNOWN_TYPE = "unknown_type"
    UNREAD_FORMAT = "unread_format"
    UNREADABLE_FILE = "unreadable_file"
    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    UNREADABLE_LABEL = "unreadable_label"
    ID_MISMATCH = "id_mismatch"
    AMBIGUOUS_LABEL = "ambiguous_label"
    MISSING_AUDIO = "missing_audio"
    NO_UTTERANCES = "no_utterances"
    BAD_UTTERANCE = "bad_utterance"
    BAD_TIMES = "bad_times"
    OUTSIDE_AUDIO = "outside_audio"
    TOO_SHORT = "too_short"
    UNREADABLE_AUDIO = "unreadable_audio"
    NO_SPEECH = "no_speech"
    NOT_RECOGNISED = "not_recognised"
    OUT_OF_MEMORY = "out_of_memory"
    UNUSABLE_VECTORS = "unusable_vectors"


OF_LABELS = frozenset(
    {
        RejectReason.UNREADABLE_LABEL,
        RejectReason.ID_MISMATCH,
        RejectReason.AMBIGUOUS_LABEL,
        RejectReason.MISSING_AUDIO,
        RejectReason.NO_UTTERANCES,
    }
)
"""Reasons that reject a label. Its recording, if there is one, is listened to without it."""


@dataclass(frozen=True)
class Rejection:
    """Something that is not scored.

    Attributes:
        file: the file, by the name that `Recording.file` would have.
        reason: why.
        detail: more about the reason, without text of a call.
        id: the start of the file's name up to its first `_`; None for a file that is no recording and no label.
        utterance_id: the turn that is rejected; None if the whole file is.
    """

    file: str
    reason: RejectReason
    detail: str
    id: str | None = None
    utterance_id: str | None = None
