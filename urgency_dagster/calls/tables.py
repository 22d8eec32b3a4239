"""The tables that only this subject reads and writes, and the reasons for a rejection."""

from enum import StrEnum

import pyarrow as pa


class RejectReason(StrEnum):
    """Why a member, call or utterance is not in the utterance table. A closed set."""

    UNSAFE_NAME = "unsafe_name"
    DUPLICATE_NAME = "duplicate_name"
    UNKNOWN_TYPE = "unknown_type"
    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    UNREADABLE_LABEL = "unreadable_label"
    ID_MISMATCH = "id_mismatch"
    DUPLICATE_CALL = "duplicate_call"
    MISSING_LABEL = "missing_label"
    MISSING_AUDIO = "missing_audio"
    UNREADABLE_AUDIO = "unreadable_audio"
    UNKNOWN_URGENCY = "unknown_urgency"
    UNKNOWN_SENTIMENT = "unknown_sentiment"
    NO_UTTERANCES = "no_utterances"
    BAD_TIMES = "bad_times"
    OUTSIDE_AUDIO = "outside_audio"
    TOO_SHORT = "too_short"
    BAD_UTTERANCE = "bad_utterance"


MEMBERS = pa.schema(
    [
        pa.field("archive", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("path", pa.string()),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("crc32", pa.int64(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
"""One row per ZIP member. `kind` is audio or label; `path` is the extracted file, null for a rejected member."""


REJECTS = pa.schema(
    [
        pa.field("archive", pa.string(), nullable=False),
        pa.field("member", pa.string()),
        pa.field("_id", pa.string()),
        pa.field("utterance_id", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
"""One row per rejected member, call or utterance.

`_id` is null in the row of a member, and `utterance_id` in the row of a call. A rejected call has one more row for each
of its labelled utterances.
"""
