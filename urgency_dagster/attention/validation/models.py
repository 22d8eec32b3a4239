"""The models by name, and the scaler and selector before them. Rows are split in `folds`.

Every estimator computes on one thread: fits run in parallel, and one thread always gives the same result.

Source: the K-EmoPhone supplementary code and the attention models built on it (steps and hyper-parameters).
"""

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

LIBRARY_DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.3,
    "max_depth": 6,
    "reg_alpha": 0.0,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
}
"""XGBoost's defaults of the parameters that the originals set."""


XGB_SETTINGS: Mapping[str, Mapping[str, float]] = {
    "stated": {},
    "effective": LIBRARY_DEFAULTS,
    "authors_stated": {**LIBRARY_DEFAULTS, "learning_rate": 0.01, "early_stopping_rounds": 10},
    "authors": {**LIBRARY_DEFAULTS, "early_stopping_rounds": 10},
}
"""Parameters that differ from the defaults of EvXGBClassifier, by the option `xgb_settings`.

`stated` differs in none: its parameters are those defaults, in `attention.early_stopping`. An option such as
`xgb_max_depth` has precedence.

`stated` (attention models) and `authors_stated` (K-EmoPhone code) are the parameters in the original source code. The
originals' `clone` keeps only `eval_size`, `eval_metric`, `early_stopping_rounds` and the seed. `effective` and
`authors` are therefore the parameters that the originals really fitted with; `authors` gives the published numbers.

Source: the K-EmoPhone supplementary code and the attention models built on it.
"""


def one_thread() -> AbstractContextManager[Any]:
    """A block in which the numerical libraries use one thread."""
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def make_preprocessing(protocol: Protocol) -> Pipeline:
    """The unfitted scaler and selector, the first steps of every model."""
    svc = LinearSVC(
        penalty="l1",
        loss="squared_hinge",
        dual=False,
        C=protocol.selector_c,
        tol=protocol.selector_tol,
        max_iter=protocol.selector_max_iter,
        random_state=protocol.seed,
    )
    selector = SelectFromModel(svc, threshold=protocol.selector_threshold)
    return Pipeline([("scale", FeatureScaler()), ("select", selector)])


def fit_preprocessing(X: pd.DataFrame, y: np.ndarray, protocol: Protocol) -> Pipeline:
    """Scaler and selector, fitted on the rows of X.

    Raises:
        NoFeatureError: the selector keeps no feature.
    """
    preprocessing = make_preprocessing(protocol).fit(X, y)
    if not preprocessing["select"].get_support().any():
        raise _no_feature(preprocessing, X, y, protocol)
    return preprocessing


def _no_feature(preprocessing: Pipeline, X: pd.DataFrame, y: np.ndarray, protocol: Protocol) -> NoFeatureError:
    """The error, with the cause: no feature changes, or C is too small for so few rows.

    With zero weights the squared hinge loss has the gradient 2 C |sum of s_i x_i| in the direction of a feature, where
    s is +1 or -1 by class and the intercept is at its best. The L1 penalty has the gradient 1. So a feature is kept
    only if C is above 1 / (2 |sum|), whose largest sum grows with the number of rows.
    """
    scaled = preprocessing["scale"].transform(X).astype(np.float64)
    sign = np.where(y == 1, 1.0, -1.0)
    # The intercept is penalised too, so its best value is between 0 and the mean sign.
    sums = np.abs((sign - sign.mean()) @ scaled)
    received = (
        f"the selector keeps none of {X.shape[1]} features, with {len(X)} rows and selector_c {protocol.selector_c}"
    )
    if sums.max() < 1e-6 * len(X):
        return NoFeatureError(received, "at least one feature that changes with the label", "check the features")
    needed = 1 / (2 * sums.max())
    return NoFeatureError(
        received,
        f"at least one; the best feature needs selector_c of about {needed:.2g}, and less with more rows",
        "raise selector_c of attention_cv, or land more rows",
    )


def make_logreg(protocol: Protocol) -> LogisticRegression:
    """L1 logistic regression; `l1_ratio=1` is the new name of `penalty="l1"`."""
    numbers = protocol.parameters_of("logreg")
    return LogisticRegression(
        l1_ratio=1.0, solver="liblinear", random_state=protocol.seed, C=numbers["c"], max_iter=numbers["max_iter"]
    )


def make_rf(protocol: Protocol) -> RandomForestClassifier:
    """A random forest."""
    return RandomForestClassifier(random_state=protocol.seed, n_jobs=1, **protocol.parameters_of("rf"))


def make_lgbm(protocol: Protocol) -> LGBMClassifier:
    """LightGBM; its importances are gains.

    `force_col_wise` fixes the order of summation. Without it LightGBM measures two methods and takes the faster one, so
    the last digits would depend on the load of the machine.
    """
    return LGBMClassifier(
        random_state=protocol.seed,
        importance_type="gain",
        verbosity=-1,
        n_jobs=1,
        deterministic=True,
        force_col_wise=True,
        **protocol.parameters_of("lgbm"),
    )


def make_voting(protocol: Protocol) -> VotingClassifier:
    """The soft vote of the VOTERS."""
    return VotingClassifier([(name, MODELS[name](protocol)) for name in VOTERS], voting="soft")


def make_xgb(protocol: Protocol) -> EvXGBClassifier:
    """XGBoost with early stopping, with the hyper-parameters and inner split of the protocol."""
    numbers: dict[str, Any] = {**XGB_SETTINGS[protocol.xgb_settings], **protocol.parameters_of("xgb")}
    return EvXGBClassifier(random_state=protocol.seed, inner_split=protocol.inner_split, **numbers)


def make_dummy(protocol: Protocol) -> DummyClassifier:
    """The baseline: it predicts the class shares of the training rows and ignores the features."""
    return DummyClassifier(strategy="prior", random_state=protocol.seed)


MODELS: Mapping[str, Callable[[Protocol], Any]] = {
    "logreg": make_logreg,
    "rf": make_rf,
    "lgbm": make_lgbm,
    "voting": make_voting,
    "xgb": make_xgb,
    BASELINE: make_dummy,
}
"""The factory of each model, by name."""


def training_rows(
    preprocessing: Pipeline, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, protocol: Protocol
) -> TrainingRows:
    """The rows of X after scaling, feature selection and, if the protocol says so, oversampling.

    Args:
        preprocessing: fitted on these rows, with or without the selector.
        X: (n, P).
        y: (n,) 0 or 1.
        groups: (n,) the participant of each row.
        protocol: `oversample` and `seed` are used.

    Raises:
        AttentionError: the rows cannot be oversampled (see `synthetic_rows`).
    """
    matrix = preprocessing.transform(X)
    categories = set(preprocessing["scale"].categorical_)
    categorical = sum(name in categories for name in preprocessing.get_feature_names_out())
    synthetic = matrix[:0], y[:0]
    if protocol.oversample:
        synthetic = synthetic_rows(matrix, y, categorical, protocol.seed)
    return TrainingRows(matrix, y, groups, categorical, *synthetic)


def fit_estimator(name: str, rows: TrainingRows, protocol: Protocol) -> Any:
    """The named model, fitted on the training rows and, except the baseline, on the synthetic rows.

    A synthetic row may mix two participants. XGBoost with `inner_split=participant` therefore oversamples only the rows
    that it fits on: the held-out participants must not be part of a synthetic row.

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
    """The importance of each column: (columns,) float64. The sum is 1, or 0 if the model uses no column.

    Linear models: absolute coefficients. Tree models: the library's own importances.
    """
    if hasattr(estimator, "coef_"):
        raw = np.abs(estimator.coef_[0])
    else:
        raw = getattr(estimator, "feature_importances_", np.zeros(columns))
    importances = np.asarray(raw, dtype=np.float64)
    total = importances.sum()
    return importances / total if total else importances
