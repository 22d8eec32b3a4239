"""The tables of the urgency pipeline."""

import pyarrow as pa

TRAIN, DEVELOPMENT, VALIDATION = "train", "development", "validation"
"""Values of `side` in the training set: calls that train, calls on which is chosen, calls that judge."""

SIDES = (TRAIN, DEVELOPMENT, VALIDATION)

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
