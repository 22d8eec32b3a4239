"""The cross-validation protocol: model names, options and result types. Nothing is computed here.

Source: the K-EmoPhone supplementary code and the attention models built on it. Their settings are the defaults, except
`inner_split`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import SettingsError

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


LOGREG = "logreg"

LOGREG_ON_ALL = "logreg_on_all_features"
"""The fit of `logreg` without the selector. The vote has another `logreg`, with the selector."""

ORIGINAL: Mapping[str, Any] = {"inner_split": "stratified", "xgb_settings": "effective", "select_logreg": False}
"""What `protocol: original` changes. All other defaults are already those of the original.

Source: cells 63, 65 and 72 of `ml_model.ipynb`. `effective`: `clone` loses the parameters of `xgb` that cell 72 states.
"""


def _decided(option: str, value: object, expected: object) -> SettingsError:
    """The error of an option that `protocol: original` decides."""
    received = f"{option} is {json.dumps(value)}, and protocol is original"
    return SettingsError(received, f"{json.dumps(expected)}, as in the original", f"leave out {option}, or protocol")


class ModelParameters(Configuration):
    """The numbers of the selector and the models.

    Source: cell 72 of `ml_model.ipynb` of the attention models built on the K-EmoPhone code. A number that the notebook
    does not state is the default of its library, with which the notebook fitted.
    """

    selector_c: float = Field(0.01, gt=0)
    """C of the linear SVC that selects features. With few rows a larger value keeps more features."""

    selector_tol: float = Field(1e-3, gt=0)
    """Tolerance at which the linear SVC of the selector stops."""

    selector_max_iter: int = Field(5000, ge=1)
    """Maximum number of iterations of the linear SVC of the selector."""

    selector_threshold: float = Field(1e-5, ge=0)
    """A feature is selected if its absolute weight in the linear SVC is at least this large."""

    logreg_c: float = Field(1.0, gt=0)
    """C of `logreg`: the inverse strength of its L1 penalty."""

    logreg_max_iter: int = Field(100, ge=1)
    """Maximum number of iterations of `logreg`."""

    rf_n_estimators: int = Field(100, ge=1)
    """Number of trees of `rf`."""

    rf_max_depth: int | None = Field(5, ge=1)
    """Maximum depth of a tree of `rf`. null: no maximum, as in the K-EmoPhone code."""

    rf_min_samples_leaf: int = Field(1, ge=1)
    """Minimum number of rows in a leaf of `rf`."""

    lgbm_n_estimators: int = Field(100, ge=1)
    """Number of trees of `lgbm`."""

    lgbm_learning_rate: float = Field(0.03, gt=0)
    """Shrinkage of each tree of `lgbm`."""

    lgbm_max_depth: int = Field(5, ge=-1)
    """Maximum depth of a tree of `lgbm`. -1: no maximum."""

    lgbm_num_leaves: int = Field(31, ge=2)
    """Maximum number of leaves of a tree of `lgbm`."""

    lgbm_min_child_samples: int = Field(10, ge=0)
    """Minimum number of rows in a leaf of `lgbm`."""

    lgbm_min_split_gain: float = Field(0.0, ge=0)
    """Minimum gain of a split of `lgbm`."""

    lgbm_reg_alpha: float = Field(2.0, ge=0)
    """L1 penalty of the leaf weights of `lgbm`."""

    lgbm_reg_lambda: float = Field(2.0, ge=0)
    """L2 penalty of the leaf weights of `lgbm`."""

    lgbm_subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows per tree of `lgbm`. It has an effect only with `lgbm_subsample_freq`."""

    lgbm_subsample_freq: int = Field(0, ge=0)
    """Every how many trees `lgbm` draws rows. 0: never."""

    lgbm_colsample_bytree: float = Field(0.8, gt=0, le=1)
    """Share of columns per tree of `lgbm`."""

    xgb_settings: Literal["stated", "effective", "authors_stated", "authors"] = "stated"
    """Hyper-parameters of `xgb`. `stated`: as the attention models state them. `effective`: as those models were really
    fitted. `authors_stated` and `authors`: the same two for the K-EmoPhone code."""

    xgb_eval_size: float = Field(0.2, ge=0, lt=1)
    """Share of the training rows that `xgb` holds out for early stopping. 0: none, and no early stopping."""

    xgb_n_estimators: int = Field(100, ge=1)
    """Maximum number of trees of `xgb`."""

    xgb_early_stopping_rounds: int | None = Field(None, ge=1)
    """Rounds without improvement before `xgb` stops. null: as `xgb_settings` says (50 with `stated`)."""

    xgb_learning_rate: float | None = Field(None, gt=0)
    """Shrinkage of each tree of `xgb`. null: as `xgb_settings` says (0.03 with `stated`)."""

    xgb_max_depth: int | None = Field(None, ge=1)
    """Maximum depth of a tree of `xgb`. null: as `xgb_settings` says (3 with `stated`)."""

    xgb_reg_alpha: float | None = Field(None, ge=0)
    """L1 penalty of the leaf weights of `xgb`. null: as `xgb_settings` says (2 with `stated`)."""

    xgb_reg_lambda: float | None = Field(None, ge=0)
    """L2 penalty of the leaf weights of `xgb`. null: as `xgb_settings` says (2 with `stated`)."""

    xgb_gamma: float | None = Field(None, ge=0)
    """Minimum loss reduction of a split of `xgb`. null: as `xgb_settings` says (2 with `stated`)."""

    xgb_subsample: float | None = Field(None, gt=0, le=1)
    """Share of rows per tree of `xgb`. null: as `xgb_settings` says (0.8 with `stated`)."""

    xgb_colsample_bytree: float | None = Field(None, gt=0, le=1)
    """Share of columns per tree of `xgb`. null: as `xgb_settings` says (0.8 with `stated`)."""

    def parameters_of(self, model: str) -> dict[str, Any]:
        """The numbers of one model, or of the `selector`, by the name of the parameter.

        A number of `xgb` that is null is left out: `xgb_settings` gives it.
        """
        prefix = f"{model}_"
        names = {name: name.removeprefix(prefix) for name in ModelParameters.model_fields if name.startswith(prefix)}
        values = {parameter: getattr(self, name) for name, parameter in names.items() if name != "xgb_settings"}
        return {name: value for name, value in values.items() if model != "xgb" or value is not None}


class Protocol(ModelParameters):
    """The options that decide the numbers: the split of the rows, and the fits of scaler, selector and models.

    Source: the defaults are those of the attention models built on the K-EmoPhone code, except `inner_split`: both
    codes used `stratified`. The K-EmoPhone code itself used `splitter: logo`, `oversample: true`,
    `inner_split: stratified`, `xgb_settings: authors` and `rf_max_depth: null`.
    """

    protocol: Literal["honest", "original"] = "honest"
    """`honest`: the other options as they are. `original`: everything as the original notebook fitted it. It sets
    `inner_split`, `xgb_settings` and `select_logreg`, and leaves the other options at their defaults."""

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

    select_logreg: bool = True
    """Whether `logreg` is fitted on the selected features, as the other models are. The original fitted it on all
    features. The `logreg` of the vote always has the selected features."""

    @model_validator(mode="before")
    @classmethod
    def _as_original(cls, values: Any) -> Any:
        """Sets the options of `protocol: original`, and refuses another value of any option that it decides."""
        if not isinstance(values, dict) or values.get("protocol") != "original":
            return values
        for name, field in Protocol.model_fields.items():
            expected = ORIGINAL.get(name, field.default)
            if name != "protocol" and values.get(name, field.default) not in (field.default, expected):
                raise _decided(name, values[name], expected)
        return {**values, **ORIGINAL}

    def fits_of(self, model: str) -> tuple[str, ...]:
        """The fits of a model: the VOTERS for `voting`, LOGREG_ON_ALL for `logreg` without the selector."""
        if model == VOTING:
            return VOTERS
        return (LOGREG_ON_ALL,) if model == LOGREG and not self.select_logreg else (model,)

    @classmethod
    def of(cls, options: "Protocol") -> "Protocol":
        """The options that decide the numbers, without those of a subclass that do not."""
        return Protocol(**{name: getattr(options, name) for name in Protocol.model_fields})


class CrossValidationConfig(Protocol):
    """The options of the cross-validation. The exported models are refitted by the same protocol."""

    machine: ClassVar[frozenset[str]] = frozenset({"backend", "address", "num_cpus"})

    backend: Literal["ray", "sequential"] = "ray"
    """`ray`: the fits run as Ray tasks. `sequential`: one after another in this process. Both give the same numbers."""

    address: str | None = None
    """Address of the Ray cluster, e.g. `auto` or `host:6379`. None starts a private cluster on this machine. An
    existing connection of this process is used first."""

    num_cpus: int | None = Field(None, ge=1)
    """Cores of the private Ray cluster of this machine: so many fits run at once. null: all cores. A cluster of
    `RAY_ADDRESS` has its own number. The original used 12."""


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
        all_features: the same fold without the selector, if a model needs it.
    """

    number: int
    train: TrainingRows
    X_test: "np.ndarray"
    features: "np.ndarray"
    all_features: "PreparedFold | None" = None


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
