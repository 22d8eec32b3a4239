"""Schemas of the Parquet tables of the attention pipeline."""

import pyarrow as pa

ATTENTION_SAMPLES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("y", pa.int64(), nullable=False),
        pa.field("participant", pa.string(), nullable=False),
        pa.field("t_s", pa.float64()),
    ]
)
"""One row per sample of X: label, participant, and seconds since the earliest local midnight (null if unknown)."""


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
"""One out-of-fold prediction per sample, in the order of X. `probability` is of class 1; folds count from 1."""


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
"""The scores of each fold. `f1_<class>` is the F1 of one class; `pr_auc` is the average precision of class 1."""


ATTENTION_BOOTSTRAP = pa.schema([pa.field(name, pa.float64()) for name in ATTENTION_SCORES])
"""One row per bootstrap sample of the participants: scores of all rows; null if a score is undefined."""


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
"""One row per fold and model: numbers of test rows and features, and the scores of the test and training rows.

A score that needs both classes is null in a fold whose test rows have one class.
"""


ATTENTION_IMPORTANCES = pa.schema(
    [
        pa.field("feature", pa.string(), nullable=False),
        pa.field("importance", pa.float64(), nullable=False),
        pa.field("folds", pa.int64(), nullable=False),
    ]
)
"""One row per selected feature, the most important first; `folds` is the number of folds that selected it."""


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
"""One row per participant; `f1_macro` and `roc_auc` are null if the participant has one class only."""
