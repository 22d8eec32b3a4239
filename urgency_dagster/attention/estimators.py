"""The models by name, and the scaler and selector before them. Nothing is split or judged here.

Every estimator computes on one thread: parallelism is over folds and models, and one thread gives one result.

Source: the K-EmoPhone supplementary code and the attention models built on it, for steps and hyper-parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.oversampling import synthetic_rows
from urgency_dagster.attention.protocol import BASELINE, VOTERS, Protocol, TrainingRows
from urgency_dagster.errors import AttentionError, NoFeatureError

SELECTION_THRESHOLD = 1e-5
"""A feature is kept if the linear SVC gives it a larger absolute weight."""

LIBRARY_DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.3,
    "max_depth": 6,
    "reg_alpha": 0.0,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
}
"""XGBoost's own values of what the originals set."""

XGB_SETTINGS: Mapping[str, Mapping[str, float]] = {
    "stated": {},
    "effective": LIBRARY_DEFAULTS,
    "authors_stated": {**LIBRARY_DEFAULTS, "learning_rate": 0.01, "early_stopping_rounds": 10},
    "authors": {**LIBRARY_DEFAULTS, "early_stopping_rounds": 10},
}
"""What differs from the defaults of EvXGBClassifier.

`stated` and `authors_stated` are what the attention models and the K-EmoPhone code ask for. Their `clone` keeps only
`eval_size`, `eval_metric`, `early_stopping_rounds` and the seed, so `effective` and `authors` are what was fitted:
`authors` gives their published numbers.

Source: the K-EmoPhone supplementary code and the attention models built on it.
"""


def one_thread() -> AbstractContextManager[Any]:
    """A block in which the numerical libraries compute on one thread."""
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def _refuse(columns: Sequence[str], fault: str, expected: str, remedy: str) -> None:
    """Raises an AttentionError that names the first of the columns, if there are any."""
    if columns:
        names = ", ".join(columns[:5]) + (", ..." if len(columns) > 5 else "")
        raise AttentionError(f"{len(columns)} columns {fault}: {names}", expected, remedy)


class FeatureScaler(TransformerMixin, BaseEstimator):
    """Orders the columns as [sorted categorical, sorted numeric] and standardises the numeric ones.

    Columns are taken by name: their order does not matter, and more of them than were fitted are ignored.

    Attributes:
        categorical_: the fitted columns of dtype bool, sorted.
        numeric_: all others, sorted.
        scaler_: the StandardScaler of the numeric columns, or None if there are none.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Learns names, kinds, means and population standard deviations."""
        kinds = {str(name): str(dtype) for name, dtype in X.dtypes.items()}
        self.categorical_ = sorted(name for name, dtype in kinds.items() if dtype == "bool")
        self.numeric_ = sorted(name for name, dtype in kinds.items() if dtype != "bool")
        numeric = X[self.numeric_].to_numpy(dtype=np.float32)
        self.scaler_ = StandardScaler().fit(numeric) if self.numeric_ else None
        self.n_features_in_ = len(kinds)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """The (N, P) float32 matrix; bool columns become 0 and 1.

        Raises:
            AttentionError: X is no DataFrame, lacks a fitted column or has it twice, or holds in one text, NaN,
                infinity or, if it is categorical, anything but 0 and 1.
        """
        check_is_fitted(self)
        self._check_columns(X)
        categorical = X[self.categorical_].to_numpy(dtype=np.float32)
        numeric = X[self.numeric_].to_numpy(dtype=np.float32)
        if not (np.isfinite(categorical).all() and np.isfinite(numeric).all()):
            raise AttentionError("the features hold NaN or infinity", "finite numbers", "fill missing values with 0")
        scaled = numeric if self.scaler_ is None else self.scaler_.transform(numeric)
        return np.hstack([categorical, scaled])

    def _check_columns(self, X: pd.DataFrame) -> None:
        if not isinstance(X, pd.DataFrame):
            raise AttentionError(f"the features are a {type(X).__name__}", "a DataFrame with named columns")
        fitted = [*self.categorical_, *self.numeric_]
        _refuse(sorted(set(fitted).difference(X.columns)), "are missing", "every fitted column", "add or rename them")
        found = X.loc[:, X.columns.isin(fitted)]
        repeated = sorted(map(str, found.columns[found.columns.duplicated()]))
        _refuse(repeated, "occur more than once", "unique names", "drop the others")
        other = sorted(str(name) for name, dtype in found.dtypes.items() if dtype.kind not in "biuf")
        _refuse(other, "are no numbers", "bool or numeric columns", "convert them")
        codes = found[self.categorical_]
        strange = sorted(codes.columns[~((codes == 0) | (codes == 1)).all()])
        _refuse(strange, "hold more than yes and no", "bool, or 0 and 1", "convert them")

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002 - as above
        """The names of the output columns."""
        return np.asarray([*self.categorical_, *self.numeric_], dtype=object)


def make_preprocessing(seed: int) -> Pipeline:
    """The unfitted scaler and selector that precede every model."""
    svc = LinearSVC(penalty="l1", loss="squared_hinge", dual=False, tol=1e-3, C=1e-2, max_iter=5000, random_state=seed)
    return Pipeline([("scale", FeatureScaler()), ("select", SelectFromModel(svc, threshold=SELECTION_THRESHOLD))])


def fit_preprocessing(X: pd.DataFrame, y: np.ndarray, seed: int) -> Pipeline:
    """The scaler and selector, fitted on the rows of X.

    Raises:
        NoFeatureError: the selector keeps no feature.
    """
    preprocessing = make_preprocessing(seed).fit(X, y)
    if not preprocessing["select"].get_support().any():
        raise NoFeatureError(
            f"the selector keeps none of {X.shape[1]} features", "at least one", "check the data: none is informative"
        )
    return preprocessing


def make_logreg(protocol: Protocol) -> LogisticRegression:
    """L1 logistic regression; `l1_ratio=1` is what `penalty="l1"` used to say."""
    return LogisticRegression(l1_ratio=1.0, solver="liblinear", random_state=protocol.seed)


def make_rf(protocol: Protocol) -> RandomForestClassifier:
    """A random forest with the library's defaults (100 trees)."""
    return RandomForestClassifier(random_state=protocol.seed, n_jobs=1)


def make_lgbm(protocol: Protocol) -> LGBMClassifier:
    """Gradient boosting with the original's settings.

    `force_col_wise` changes no setting of the model: without it LightGBM times two ways of summing and takes the
    faster one, so that the last digits would depend on how busy the machine is.
    """
    return LGBMClassifier(
        random_state=protocol.seed,
        learning_rate=0.03,
        max_depth=5,
        num_leaves=31,
        min_child_samples=10,
        reg_alpha=2,
        reg_lambda=2,
        subsample=0.8,
        colsample_bytree=0.8,
        n_estimators=100,
        importance_type="gain",
        verbosity=-1,
        n_jobs=1,
        deterministic=True,
        force_col_wise=True,
    )


def make_voting(protocol: Protocol) -> VotingClassifier:
    """The soft vote of the VOTERS."""
    return VotingClassifier([(name, MODELS[name](protocol)) for name in VOTERS], voting="soft")


def make_xgb(protocol: Protocol) -> EvXGBClassifier:
    """Early-stopped XGBoost with the protocol's settings and inner split."""
    settings: dict[str, Any] = dict(XGB_SETTINGS[protocol.xgb_settings])
    return EvXGBClassifier(random_state=protocol.seed, inner_split=protocol.inner_split, **settings)


def make_dummy(protocol: Protocol) -> DummyClassifier:
    """The baseline: the training rows' class shares, whatever the features."""
    return DummyClassifier(strategy="prior", random_state=protocol.seed)


MODELS: Mapping[str, Callable[[Protocol], Any]] = {
    "logreg": make_logreg,
    "rf": make_rf,
    "lgbm": make_lgbm,
    "voting": make_voting,
    "xgb": make_xgb,
    BASELINE: make_dummy,
}
"""Each model's factory."""


def training_rows(
    preprocessing: Pipeline, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, protocol: Protocol
) -> TrainingRows:
    """The rows of X scaled, selected and, when the protocol says so, oversampled.

    Args:
        preprocessing: fitted on these rows.
        X: (n, P).
        y: (n,) 0 or 1.
        groups: (n,) the participant of each row.
        protocol: whether and with what seed to oversample.

    Raises:
        AttentionError: they cannot be oversampled (see `synthetic_rows`).
    """
    matrix = preprocessing.transform(X)
    support = preprocessing["select"].get_support()
    categorical = int(support[: len(preprocessing["scale"].categorical_)].sum())
    synthetic = matrix[:0], y[:0]
    if protocol.oversample:
        synthetic = synthetic_rows(matrix, y, categorical, protocol.seed)
    return TrainingRows(matrix, y, groups, categorical, *synthetic)


def fit_estimator(name: str, rows: TrainingRows, protocol: Protocol) -> Any:
    """The named model, fitted; each but the baseline on the synthetic rows, too.

    A synthetic row lies between rows that may be of two participants. XGBoost that holds participants out makes its
    own, of the rows it fits on: otherwise it would be fitted on mixtures of those it stops on.

    Raises:
        AttentionError: see `EvXGBClassifier.fit` and `synthetic_rows`.
    """
    estimator = MODELS[name](protocol)
    if name == BASELINE:
        return estimator.fit(rows.X, rows.y)
    if isinstance(estimator, EvXGBClassifier) and protocol.inner_split == "participant":
        resample = partial(_oversampled, categorical=rows.categorical, seed=protocol.seed)
        return estimator.fit(rows.X, rows.y, rows.groups, resample if protocol.oversample else None)
    return estimator.fit(np.vstack([rows.X, rows.synthetic]), np.hstack([rows.y, rows.synthetic_labels]))


def _oversampled(X: np.ndarray, y: np.ndarray, categorical: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    synthetic, synthetic_labels = synthetic_rows(X, y, categorical, seed)
    return np.vstack([X, synthetic]), np.hstack([y, synthetic_labels])


def importances_of(estimator: Any, columns: int) -> np.ndarray:
    """The share of each column in what a fitted model looks at: float64, (columns,), summing to 1.

    Absolute coefficients of a linear model, the trees' own importances of the others; all 0 if it looks at nothing.
    """
    if hasattr(estimator, "coef_"):
        raw = np.abs(estimator.coef_[0])
    else:
        raw = getattr(estimator, "feature_importances_", np.zeros(columns))
    found = np.asarray(raw, dtype=np.float64)
    total = found.sum()
    return found / total if total else found
