"""The tables that several subjects read: schemas, column names and closed sets of values.

Source: the label values are those of AI Hub data set 71768, the column names those of the original pipeline.
"""

import pyarrow as pa

URGENCY_LEVELS = ("하", "중", "상")
"""Urgency names in the order of their fixed ids: 하 (low) 0, 중 (mid) 1, 상 (high) 2."""

LOW, _, HIGH = URGENCY_LEVELS
"""The levels with the most expensive confusion: a high level predicted as low."""

SENTIMENTS = ("기타부정", "당황/난처", "불안/걱정", "중립")
"""The sentiment names of the data set, sorted. Ids are positions in the sorted names of the training set."""

ENGLISH = {
    "하": "low",
    "중": "mid",
    "상": "high",
    "기타부정": "other negative",
    "당황/난처": "flustered",
    "불안/걱정": "anxious",
    "중립": "neutral",
}
"""English class names for pictures: the default font of matplotlib has no Hangul."""

CALL_TAKER, CALLER = 0, 1
"""Values of `speaker`. They are roles, not persons."""

ROLES = {CALL_TAKER: "call_taker", CALLER: "caller"}
"""The name of each value of `speaker`."""


UTTERANCES = pa.schema(
    [
        pa.field("_id", pa.string(), nullable=False),
        pa.field("wav_file_path", pa.string(), nullable=False),
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("startAt", pa.int64(), nullable=False),
        pa.field("endAt", pa.int64(), nullable=False),
        pa.field("sentiment", pa.string(), nullable=False),
        pa.field("urgencyLevel", pa.string(), nullable=False),
        pa.field("urgency_label", pa.int64(), nullable=False),
        pa.field("disasterMedium", pa.string()),
        pa.field("archive", pa.string(), nullable=False),
        pa.field("speaker", pa.int64()),
        pa.field("gender", pa.string()),
        pa.field("disasterLarge", pa.string()),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("silent", pa.bool_(), nullable=False),
        pa.field("has_nan", pa.bool_(), nullable=False),
        pa.field("clipped", pa.bool_(), nullable=False),
        pa.field("tone_660hz", pa.bool_(), nullable=False),
        pa.field("audio_sha256", pa.string(), nullable=False),
    ]
)
"""One row per kept utterance, sorted by `_id`, `startAt`, `utterance_id`. Times are those of the label, in ms.

The four flags mark possible defects in the audio of the utterance. `audio_sha256` is the hash of the whole recording.
"""

UTTERANCE_KEY = ("_id", "utterance_id")
"""The columns that identify a row of UTTERANCES within its archive."""


AUDIO_FLAGS = ("silent", "has_nan", "clipped", "tone_660hz")
"""The columns of UTTERANCES that mark possible defects in the audio."""

EMBEDDING = "wav2vec2_embedding"

ORIGINAL_COLUMNS = (
    "_id", "wav_file_path", "utterance_id", "text", "startAt", "endAt", "sentiment", "urgencyLevel", "urgency_label",
    EMBEDDING,
)  # fmt: skip
"""The columns of the original pipeline's table in its order. Source: the CSV that its training script reads."""

VECTOR_KEY = ("audio_sha256", "startAt", "endAt")
"""The columns of UTTERANCES that identify the audio of a vector, independent of the call id."""


def embeddings_schema(width: int) -> pa.Schema:
    """The schema of `embeddings.parquet`.

    The columns of VECTOR_KEY make a vector reusable when the archive lands again.

    Args:
        width: float32 values per row: the vectors of an utterance, one after another.
    """
    vector = pa.list_(pa.float32(), width)
    return pa.schema(
        [
            pa.field("_id", pa.string(), nullable=False),
            pa.field("utterance_id", pa.string(), nullable=False),
            *(UTTERANCES.field(name) for name in VECTOR_KEY),
            pa.field(EMBEDDING, vector, nullable=False),
        ]
    )


def original_schema(width: int) -> pa.Schema:
    """The schema of the original pipeline's table: ORIGINAL_COLUMNS.

    Args:
        width: float32 values per row: the vectors of an utterance, one after another.
    """
    vector = pa.field(EMBEDDING, pa.list_(pa.float32(), width), nullable=False)
    return pa.schema([vector if name == EMBEDDING else UTTERANCES.field(name) for name in ORIGINAL_COLUMNS])
