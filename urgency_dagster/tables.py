"""The schema, column names and closed value sets of every table. Nothing is read or written here.

Source: AI Hub data set 71768 for the label values; the column names are those of the original pipeline.
"""

from enum import StrEnum

import pyarrow as pa

URGENCY_LEVELS = ("하", "중", "상")
"""Urgency names in the order of their fixed ids: 하 (low) 0, 중 (mid) 1, 상 (high) 2."""

LOW, _, HIGH = URGENCY_LEVELS
"""The levels whose confusion costs most: a high one read as low."""

SENTIMENTS = ("기타부정", "당황/난처", "불안/걱정", "중립")
"""The sentiment names of the data set, sorted. Ids are the sorted names that the training set holds."""

ENGLISH = {
    "하": "low",
    "중": "mid",
    "상": "high",
    "기타부정": "other negative",
    "당황/난처": "flustered",
    "불안/걱정": "anxious",
    "중립": "neutral",
}
"""English class names for pictures, whose default font has no Hangul."""

CALL_TAKER, CALLER = 0, 1
"""Values of `speaker`: a role, not a person."""


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
"""One row per ZIP member: `kind` is audio or label, `path` is where it lies (null when rejected)."""

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
"""One row per kept utterance, sorted by `_id`, `startAt`, `utterance_id`. Times are the label's milliseconds.

The four flags tell what is wrong with the audio of the utterance; `audio_sha256` identifies its whole recording.
"""

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
"""One row per thing that is not in the utterance table.

`_id` is null on the row of a member, `utterance_id` on that of a whole call; each labelled utterance of a rejected
call has a row of its own besides.
"""

AUDIO_FLAGS = ("silent", "has_nan", "clipped", "tone_660hz")
"""The columns of UTTERANCES that tell what is wrong with the audio."""

EMBEDDING = "wav2vec2_embedding"

VECTOR_KEY = ("audio_sha256", "startAt", "endAt")
"""The columns of UTTERANCES that say what sound a vector is of, whatever the call is called."""


def embeddings_schema(width: int) -> pa.Schema:
    """The schema of `embeddings.parquet` for rows of `width` float32: the vectors of an utterance, one after another.

    The columns of VECTOR_KEY are those of the utterance, so that the vector can serve again when the archive is sent
    again.
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


TRAIN, VALIDATION = "train", "validation"
"""Values of `side` in the training set."""

TRAINING_ROWS = pa.schema(
    [
        pa.field("archive", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("_id", pa.string(), nullable=False),
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("startAt", pa.int64(), nullable=False),
        pa.field("endAt", pa.int64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("speaker", pa.int64()),
        pa.field("gender", pa.string()),
        pa.field("disasterLarge", pa.string()),
        pa.field("disasterMedium", pa.string()),
        pa.field("urgency_id", pa.int64(), nullable=False),
        pa.field("sentiment_id", pa.int64(), nullable=False),
        pa.field("audio_sha256", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
    ]
)
"""One row per utterance of the training set; `row` is its row in the archive's `wav2vec2_embeddings.npy`."""

URGENCY_PREDICTIONS = pa.schema(
    [
        pa.field("archive", pa.string(), nullable=False),
        pa.field("_id", pa.string(), nullable=False),
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("urgency_id", pa.int64(), nullable=False),
        pa.field("urgency_predicted", pa.int64(), nullable=False),
        pa.field("urgency_logits", pa.list_(pa.float32()), nullable=False),
        pa.field("sentiment_id", pa.int64(), nullable=False),
        pa.field("sentiment_predicted", pa.int64(), nullable=False),
        pa.field("sentiment_logits", pa.list_(pa.float32()), nullable=False),
    ]
)
"""One row per validation utterance, in the order of the training set's rows."""

ATTENTION_SAMPLES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("y", pa.int64(), nullable=False),
        pa.field("participant", pa.string(), nullable=False),
        pa.field("t_s", pa.float64()),
    ]
)
"""One row per sample of X: label, participant, and seconds since the earliest local midnight (null when unknown)."""

ATTENTION_PREDICTIONS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("fold", pa.int64(), nullable=False),
        pa.field("participant", pa.string(), nullable=False),
        pa.field("y", pa.int64(), nullable=False),
        pa.field("predicted", pa.int64(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
    ]
)
"""One out-of-fold row per sample, in the order of X; `probability` is that of class 1. Folds count from 1."""

ATTENTION_SCORES = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_0",
    "f1_1",
    "roc_auc",
    "pr_auc",
    "mcc",
    "brier",
    "log_loss",
)
"""What is measured in each fold. `f1_<class>` is of one class; `pr_auc` is the average precision of class 1."""

ATTENTION_FOLDS = pa.schema(
    [
        pa.field("fold", pa.int64(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("n_positive", pa.int64(), nullable=False),
        pa.field("n_participants", pa.int64(), nullable=False),
        pa.field("n_features", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64()) for name in ATTENTION_SCORES),
        *(pa.field(f"train_{name}", pa.float64(), nullable=False) for name in ATTENTION_SCORES),
    ]
)
"""One row per fold and model: test rows, features the model was given, and scores of the test and training rows.

A score is null in a fold whose test rows are of one class when it needs both.
"""

ATTENTION_IMPORTANCES = pa.schema(
    [
        pa.field("feature", pa.string(), nullable=False),
        pa.field("importance", pa.float64(), nullable=False),
        pa.field("folds", pa.int64(), nullable=False),
    ]
)
"""One row per feature that a fold selected, the most important first; `folds` is in how many it was selected."""

ATTENTION_PARTICIPANTS = pa.schema(
    [
        pa.field("participant", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("n_positive", pa.int64(), nullable=False),
        pa.field("majority_share", pa.float64(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("f1_macro", pa.float64()),
        pa.field("roc_auc", pa.float64()),
    ]
)
"""One row per participant; the last two are null for one who has rows of one class only."""
