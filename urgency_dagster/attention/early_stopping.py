"""XGBoost that stops early on rows it holds out itself. Its settings in the protocol are in `estimators`.

Source: the K-EmoPhone supplementary code, whose EvXGBClassifier this is, without its faults.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit
from sklearn.utils.validation import check_is_fitted
from xgboost import XGBClassifier

from urgency_dagster.errors import AttentionError

Resample = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""X (n, k) and y (n,) become what is fitted instead of them."""


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
