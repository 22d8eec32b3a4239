"""The cross-validation protocol: which models, how they are split, what a result is. Light to import; computes nothing.

Source: the K-EmoPhone supplementary code and the attention models built on it, whose settings are the defaults.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args

from urgency_dagster.errors import AttentionError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MODEL_NAMES = ("logreg", "rf", "lgbm", "voting", "xgb")
"""The models that are judged and exported."""

BASELINE = "dummy"
"""The model that ignores the features; judged, never exported."""

VOTERS = ("logreg", "rf", "lgbm")
"""The members of the soft vote, in its order."""

THRESHOLD = 0.5
"""A sample is given class 1 if its probability is above this."""

LEAKAGE_SUSPICION = 0.70
"""The macro-F1 above which a leakage check is asked for.

An honest model for participants it has not seen reaches 0.50 to 0.55 on this data set.
"""


Splitter = Literal["stratified_group", "logo"]
InnerSplit = Literal["participant", "stratified"]
XgbSettings = Literal["stated", "effective", "authors_stated", "authors"]


@dataclass(frozen=True)
class Protocol:
    """What decides the numbers: how rows are split, and how scaler, selector and models are fitted.

    Source: the defaults are those of the attention models built on the K-EmoPhone code. `logo`, `oversample`,
    `authors` and `stratified` together are the K-EmoPhone code's own.

    Attributes:
        splitter: `stratified_group` makes `n_splits` folds of whole participants, stratified by label; `logo` leaves
            one participant out at a time.
        n_splits: the number of folds of `stratified_group`.
        seed: of the shuffled folds, the selector, the oversampling and every model.
        oversample: whether SMOTENC, or SMOTE when no categorical column is selected, makes the classes equally
            frequent among the selected training rows. The baseline is not oversampled.
        inner_split: what early-stopped XGBoost holds out: whole participants, whose rows are never oversampled, or
            rows `stratified` by label, drawn after oversampling, as in the original.
        xgb_settings: XGBoost's; one of `estimators.XGB_SETTINGS`.
    """

    splitter: Splitter = "stratified_group"
    n_splits: int = 5
    seed: int = 42
    oversample: bool = False
    inner_split: InnerSplit = "participant"
    xgb_settings: XgbSettings = "stated"

    def __post_init__(self) -> None:
        if self.n_splits < 2:
            raise AttentionError(f"{self.n_splits} folds", "at least 2", "raise n_splits")
        admitted = {"splitter": Splitter, "inner_split": InnerSplit, "xgb_settings": XgbSettings}
        for name, values in admitted.items():
            if getattr(self, name) not in get_args(values):
                received, expected = f"{name} is {getattr(self, name)!r}", f"one of {', '.join(get_args(values))}"
                raise AttentionError(received, expected, "correct it")


@dataclass(frozen=True)
class CrossValidationConfig(Protocol):
    """How the models are judged, and where.

    Attributes:
        backend: `ray` runs the fits as tasks, `sequential` one after another in this process; same results.
        address: the Ray cluster, e.g. `auto` or `host:6379`; None starts a private one on this machine and stops it
            again. Not used when this process is already connected, nor by `sequential`.
    """

    backend: Literal["ray", "sequential"] = "ray"
    address: str | None = None

    @property
    def protocol(self) -> Protocol:
        """What decides the numbers, without where they are computed."""
        return Protocol(**{field.name: getattr(self, field.name) for field in fields(Protocol)})


@dataclass(frozen=True)
class Fold:
    """One split of the rows.

    Attributes:
        number: counts from 1.
        train: row numbers to fit on, ascending.
        test: row numbers to judge on, ascending.
    """

    number: int
    train: "np.ndarray"
    test: "np.ndarray"


@dataclass(frozen=True)
class TrainingRows:
    """Scaled and selected rows that every model is fitted on.

    Attributes:
        X: (n, k) float32, the k selected features, categorical ones first.
        y: (n,) int64.
        groups: (n,) str.
        categorical: how many of the k features are categorical.
        synthetic: (s, k) float32, the rows that oversampling adds; s is 0 without it.
        synthetic_labels: (s,) int64.
    """

    X: "np.ndarray"
    y: "np.ndarray"
    groups: "np.ndarray"
    categorical: int
    synthetic: "np.ndarray"
    synthetic_labels: "np.ndarray"


@dataclass(frozen=True)
class PreparedFold:
    """One fold, scaled and selected: what every model of that fold is fitted and judged on.

    Attributes:
        number: the fold, from 1.
        train: the rows to fit on.
        X_test: (n_test, k) float32.
        features: (k,) str, the names of the selected features.
    """

    number: int
    train: TrainingRows
    X_test: "np.ndarray"
    features: "np.ndarray"


@dataclass(frozen=True)
class FoldOutcome:
    """What one model said about the rows of one fold, and what it looked at.

    Attributes:
        model: the model's name.
        fold: the fold, from 1.
        probability: (n_test,) float64, of class 1.
        train_probability: (n_train,) float64, the same for the rows that it was fitted on.
        features: (k,) str, the features that the model was given.
        importances: (k,) float64, the share of each in what the model looked at, summing to 1; all 0 for a model that
            looks at none.
    """

    model: str
    fold: int
    probability: "np.ndarray"
    train_probability: "np.ndarray"
    features: "np.ndarray"
    importances: "np.ndarray"


@dataclass(frozen=True)
class ModelResult:
    """One model, cross-validated.

    Attributes:
        model: the model's name.
        predictions: one out-of-fold row per sample, in the order of X, with the columns of ATTENTION_PREDICTIONS.
        folds: one row per fold, with the columns of ATTENTION_FOLDS.
        importances: one row per feature that a fold selected, with the columns of ATTENTION_IMPORTANCES.
        source_sha256: the SHA-256 of the pickle that the samples came from.
        config: how the folds were made.
        reused: how many of its folds were taken from a run that did not end, and not fitted again.
    """

    model: str
    predictions: "pd.DataFrame"
    folds: "pd.DataFrame"
    importances: "pd.DataFrame"
    source_sha256: str
    config: CrossValidationConfig
    reused: int = 0
