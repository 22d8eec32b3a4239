"""The models by name, and the scaler and selector before them. Nothing is split or judged here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.estimators import FeatureScaler
from urgency_dagster.attention.validation.oversampling import synthetic_rows
from urgency_dagster.attention.validation.protocol import BASELINE, VOTERS, Protocol, TrainingRows
from urgency_dagster.errors import NoFeatureError

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
