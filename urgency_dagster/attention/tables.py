"""The tables of the attention pipeline."""

import pyarrow as pa

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
