"""The cross-validation protocol: model names, options and result types. Nothing is computed here.

Source: the K-EmoPhone supplementary code and the attention models built on it, whose settings are the defaults.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args

from urgency_dagster.errors import AttentionError

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
