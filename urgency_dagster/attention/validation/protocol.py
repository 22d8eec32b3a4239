"""The cross-validation protocol: model names, options and result types. Nothing is computed here.

Source: the K-EmoPhone supplementary code and the attention models built on it. Their settings are the defaults, except
`inner_split`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from urgency_dagster.configuration import Configuration

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MODEL_NAMES = ("logreg", "rf", "lgbm", "voting", "xgb")
"""The models that are cross-validated and exported."""

BASELINE = "dummy"
"""The baseline model, which ignores the features. It is cross-validated, but not exported."""

VOTING = "voting"
"""The soft vote: it averages the probabilities of its members and is not fitted itself."""

VOTERS = ("logreg", "rf", "lgbm")
"""The members of the soft vote, in order."""

THRESHOLD = 0.5
"""The predicted class is 1 if its probability is above this threshold."""

LEAKAGE_SUSPICION = 0.70
"""A macro-F1 above this needs a leakage check.

An honest model for unseen participants reaches 0.50 to 0.55 on this data set.
"""


def models_to_fit(models: Iterable[str]) -> set[str]:
    """The models that are fitted for some model names: `voting` is replaced by its members."""
    names = set(models)
    return names.difference([VOTING]).union(VOTERS if VOTING in names else ())


class Protocol(Configuration):
    """The options that decide the numbers: the split of the rows, and the fits of scaler, selector and models.

    Source: the defaults are those of the attention models built on the K-EmoPhone code, except `inner_split`: both
    codes used `stratified`. The K-EmoPhone code itself used `splitter: logo`, `oversample: true`,
    `inner_split: stratified` and `xgb_settings: authors`.
    """

    splitter: Literal["stratified_group", "logo"] = "stratified_group"
    """`stratified_group`: `n_splits` folds of whole participants, stratified by label. `logo`: leaves one participant
    out in each fold."""

    n_splits: int = Field(5, ge=2)
    """Number of folds of `stratified_group`."""

    seed: int = Field(42, ge=0, lt=2**32)
    """Seed of the folds, the selector, the oversampling and every model."""

    oversample: bool = False
    """Whether the rarer class of the training rows is oversampled until both classes are equally frequent: by SMOTENC,
    or by SMOTE if no categorical feature is selected. The baseline is not oversampled."""

    inner_split: Literal["participant", "stratified"] = "participant"
    """The rows that `xgb` holds out for early stopping. `participant`: whole participants, never oversampled.
    `stratified`: rows stratified by label, drawn after oversampling, as in both original codes."""

    xgb_settings: Literal["stated", "effective", "authors_stated", "authors"] = "stated"
    """Hyper-parameters of `xgb`. `stated`: as the attention models state them. `effective`: as those models were really
    fitted. `authors_stated` and `authors`: the same two for the K-EmoPhone code."""


class CrossValidationConfig(Protocol):
    """The options of the cross-validation. The exported models are refitted by the same protocol."""

    backend: Literal["ray", "sequential"] = "ray"
    """`ray`: the fits run as Ray tasks. `sequential`: one after another in this process. Both give the same numbers."""

    address: str | None = None
    """Address of the Ray cluster, e.g. `auto` or `host:6379`. None starts a private cluster on this machine. An
    existing connection of this process is used first."""

    @property
    def protocol(self) -> Protocol:
        """The options that decide the numbers, without `backend` and `address`."""
        return Protocol(**{name: getattr(self, name) for name in Protocol.model_fields})


@dataclass(frozen=True)
class Fold:
    """One split of the rows.

    Attributes:
        number: number of the fold, from 1.
        train: row numbers of the training rows, ascending.
        test: row numbers of the test rows, ascending.
    """

    number: int
    train: "np.ndarray"
    test: "np.ndarray"


@dataclass(frozen=True)
class TrainingRows:
    """Scaled training rows with the selected features, which all models share.

    Attributes:
        X: (n, k) float32, the k selected features, categorical features first.
        y: (n,) int64 labels.
        groups: (n,) str, the participant of each row.
        categorical: number of categorical features among the k.
        synthetic: (s, k) float32 rows of the oversampler; s is 0 without oversampling.
        synthetic_labels: (s,) int64 labels of the synthetic rows.
    """

    X: "np.ndarray"
    y: "np.ndarray"
    groups: "np.ndarray"
    categorical: int
    synthetic: "np.ndarray"
    synthetic_labels: "np.ndarray"


@dataclass(frozen=True)
class PreparedFold:
    """One fold after scaling and feature selection, shared by all models of the fold.

    Attributes:
        number: number of the fold, from 1.
        train: the training rows.
        X_test: (n_test, k) float32 test rows.
        features: (k,) str, names of the selected features.
    """

    number: int
    train: TrainingRows
    X_test: "np.ndarray"
    features: "np.ndarray"


@dataclass(frozen=True)
class FoldOutcome:
    """The predictions of one model for one fold, and its feature importances.

    Attributes:
        model: name of the model.
        fold: number of the fold, from 1.
        probability: (n_test,) float64, probability of class 1 of the test rows.
        train_probability: (n_train,) float64, the same for the training rows.
        features: (k,) str, names of the selected features.
        importances: (k,) float64, importance of each feature; the sum is 1, or 0 if the model uses no feature.
    """

    model: str
    fold: int
    probability: "np.ndarray"
    train_probability: "np.ndarray"
    features: "np.ndarray"
    importances: "np.ndarray"


@dataclass(frozen=True)
class ModelResult:
    """The cross-validation of one model.

    Attributes:
        model: name of the model.
        predictions: one out-of-fold row per sample, in the order of X, with the columns of ATTENTION_PREDICTIONS.
        folds: one row per fold, with the columns of ATTENTION_FOLDS.
        importances: one row per selected feature, with the columns of ATTENTION_IMPORTANCES.
        source_sha256: SHA-256 of the pickle that the samples came from.
        config: the options of the cross-validation.
        reused: number of folds whose fits came from the fit cache.
    """

    model: str
    predictions: "pd.DataFrame"
    folds: "pd.DataFrame"
    importances: "pd.DataFrame"
    source_sha256: str
    config: CrossValidationConfig
    reused: int = 0
