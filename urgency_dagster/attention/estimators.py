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
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

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

Resample = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""X (n, k) and y (n,) become what is fitted instead of them."""


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


class EvXGBClassifier(ClassifierMixin, BaseEstimator):
    """XGBoost that stops early on a part of its own training rows.

    Unlike the original, every parameter is a named one, so that `clone` and `set_params` keep it, and the inner part
    holds participants of its own: rows of one participant on both sides would make the stopping score too good.

    Args:
        eval_size: the share of rows held out for early stopping; 0 or None fits on all rows without it.
        inner_split: `participant` (needs `groups`) or `stratified` by label alone, as in the original.
        eval_metric: what early stopping watches.
        early_stopping_rounds: rounds without improvement before it stops.
        random_state: of the inner split and of XGBoost.
        n_estimators: the most trees.
        learning_rate: shrinkage of each tree.
        max_depth: depth of a tree.
        reg_alpha: L1 penalty of leaf weights.
        reg_lambda: L2 penalty of leaf weights.
        gamma: the least loss reduction of a split.
        subsample: share of rows per tree.
        colsample_bytree: share of columns per tree.
        n_jobs: threads.

    Attributes:
        model_: the fitted XGBClassifier.
        classes_: the two classes.
        feature_importances_: of `model_`, in the order of the columns.
    """

    def __init__(
        self,
        *,
        eval_size: float | None = 0.2,
        inner_split: str = "participant",
        eval_metric: str = "logloss",
        early_stopping_rounds: int = 50,
        random_state: int | None = 42,
        n_estimators: int = 100,
        learning_rate: float = 0.03,
        max_depth: int = 3,
        reg_alpha: float = 2.0,
        reg_lambda: float = 2.0,
        gamma: float = 2.0,
        subsample: float = 0.8,
        colsample_bytree: float = 0.8,
        n_jobs: int = 1,
    ) -> None:
        self.eval_size = eval_size
        self.inner_split = inner_split
        self.eval_metric = eval_metric
        self.early_stopping_rounds = early_stopping_rounds
        self.random_state = random_state
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.n_jobs = n_jobs

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None, resample: Resample | None = None
    ) -> Self:
        """Fits on X.

        Args:
            X: (n, k).
            y: (n,) 0 or 1.
            groups: (n,) the participant of each row.
            resample: applied to the rows it fits on, and never to those it stops on.

        Raises:
            AttentionError: `inner_split` is unknown, needs groups that are not given or are of one participant, or
                leaves one class to fit on.
        """
        X, y = np.asarray(X), np.asarray(y)
        model = XGBClassifier(**self._xgboost_parameters())
        resample = resample or _as_they_are
        if self.eval_size:
            train, stop = self._inner_rows(X, y, groups)
            model.fit(*resample(X[train], y[train]), eval_set=[(X[stop], y[stop])], verbose=False)
        else:
            model.fit(*resample(X, y))
        self.model_ = model
        self.classes_ = model.classes_
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The (N,) classes."""
        check_is_fitted(self)
        return self.model_.predict(X)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """The (N, 2) float32 probabilities of the best iteration."""
        check_is_fitted(self)
        return self.model_.predict_proba(X)

    @property
    def feature_importances_(self) -> np.ndarray:
        """The gain of each column, summing to 1."""
        return self.model_.feature_importances_

    def _xgboost_parameters(self) -> dict[str, Any]:
        parameters = self.get_params()
        for name in ("eval_size", "inner_split"):
            del parameters[name]
        if not self.eval_size:
            # XGBoost refuses early stopping without rows to watch.
            del parameters["early_stopping_rounds"]
        return {**parameters, "objective": "binary:logistic", "verbosity": 0}

    def _inner_rows(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers to fit on, and to stop on."""
        train, stop = next(self._splitter(groups).split(X, y, groups))
        if len(np.unique(y[train])) < 2:
            raise AttentionError("the inner split leaves one class to fit on", "both classes", "lower eval_size")
        return train, stop

    def _splitter(self, groups: np.ndarray | None) -> Any:
        if self.inner_split == "stratified":
            return StratifiedShuffleSplit(1, test_size=self.eval_size, random_state=self.random_state)
        if self.inner_split != "participant":
            raise AttentionError(f"inner_split is {self.inner_split!r}", "'participant' or 'stratified'", "correct it")
        if groups is None:
            raise AttentionError("fit was given no groups", "the participant of each row", "pass groups=...")
        participants = len(np.unique(groups))
        if participants < 2:
            raise AttentionError("all rows are of one participant", "two or more", "use inner_split='stratified'")
        # Whole participants cannot give an exact share; 0.2 means one of five stratified groups of them. With fewer
        # participants than groups, some groups would be empty.
        n_splits = min(max(2, round(1 / float(self.eval_size or 1))), participants)
        return StratifiedGroupKFold(n_splits, shuffle=True, random_state=self.random_state)


def _as_they_are(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return X, y


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
