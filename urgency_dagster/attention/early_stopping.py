"""`EvXGBClassifier`: XGBoost with early stopping on a held-out part of its own training rows.

An exported file stores this class by its path, `urgency_dagster.attention.early_stopping.EvXGBClassifier`, and its
instances by their attributes. Both are part of the file format: a renamed path or attribute makes old exports
unreadable. The defaults are the hyper-parameters `stated` of the option `xgb_settings`. `validation.models` holds the
parameters in which the other values differ.

Source: EvXGBClassifier of the K-EmoPhone supplementary code, with its errors corrected.
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
"""Maps X (n, k) and y (n,) to the rows and labels to fit on."""


class EvXGBClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """XGBoost with early stopping on a held-out part of its own training rows.

    Two things differ from the original. Every parameter is a named argument, so `clone` and `set_params` keep it. The
    held-out rows are of other participants: with rows of one participant on both sides the score would be too high.

    Args:
        eval_size: the share of rows held out for early stopping; 0 or None fits on all rows without early stopping.
        inner_split: `participant` (needs `groups`), or `stratified` by label alone, as in the original.
        eval_metric: the metric of early stopping.
        early_stopping_rounds: rounds without improvement before fitting stops.
        random_state: seed of the inner split and of XGBoost.
        n_estimators: maximum number of trees.
        learning_rate: shrinkage of each tree.
        max_depth: maximum depth of a tree.
        reg_alpha: L1 penalty of leaf weights.
        reg_lambda: L2 penalty of leaf weights.
        gamma: minimum loss reduction of a split.
        subsample: share of rows per tree.
        colsample_bytree: share of columns per tree.
        n_jobs: threads.

    Attributes:
        model_: the fitted XGBClassifier.
        classes_: the two classes.
        feature_importances_: the gain of each column, as `model_` gives it.
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
            resample: oversamples the rows to fit on. The held-out rows stay as they are.

        Raises:
            AttentionError: `inner_split` is unknown; `groups` is missing or holds one participant only; the rows to
                fit on have one class only.
        """
        X, y = np.asarray(X), np.asarray(y)
        model = XGBClassifier(**self._xgboost_parameters())
        resample = resample or _unchanged
        if self.eval_size:
            train, held_out = self._inner_rows(X, y, groups)
            model.fit(*resample(X[train], y[train]), eval_set=[(X[held_out], y[held_out])], verbose=False)
        else:
            model.fit(*resample(X, y))
        self.model_ = model
        self.classes_ = model.classes_
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The (N,) classes."""
        check_is_fitted(self)
        classes: np.ndarray = self.model_.predict(X)
        return classes

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """The (N, 2) float32 probabilities of the best iteration."""
        check_is_fitted(self)
        probabilities: np.ndarray = self.model_.predict_proba(X)
        return probabilities

    @property
    def feature_importances_(self) -> np.ndarray:
        """The (k,) gain of each column; the sum is 1."""
        gains: np.ndarray = self.model_.feature_importances_
        return gains

    def _xgboost_parameters(self) -> dict[str, Any]:
        parameters = self.get_params()
        for name in ("eval_size", "inner_split"):
            del parameters[name]
        if not self.eval_size:
            # XGBoost refuses early stopping without an evaluation set.
            del parameters["early_stopping_rounds"]
        return {**parameters, "objective": "binary:logistic", "verbosity": 0}

    def _inner_rows(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The row numbers to fit on, and the held-out row numbers."""
        train, held_out = next(self._splitter(groups).split(X, y, groups))
        if len(np.unique(y[train])) < 2:
            raise AttentionError("the inner split has one class to fit on", "both classes", "lower eval_size")
        return train, held_out

    def _splitter(self, groups: np.ndarray | None) -> Any:
        if self.inner_split == "stratified":
            return StratifiedShuffleSplit(1, test_size=self.eval_size, random_state=self.random_state)
        if self.inner_split != "participant":
            raise AttentionError(f"inner_split is {self.inner_split!r}", "'participant' or 'stratified'", "correct it")
        if groups is None:
            raise AttentionError("groups is None", "the participant of each row", "pass groups=...")
        participants = len(np.unique(groups))
        if participants < 2:
            raise AttentionError("the rows are of one participant", "two or more", "use inner_split='stratified'")
        # Whole participants cannot give an exact share: 0.2 means one of five stratified folds of participants. The
        # number of folds is at most the number of participants, because a fold must not be empty.
        n_splits = min(max(2, round(1 / float(self.eval_size or 1))), participants)
        return StratifiedGroupKFold(n_splits, shuffle=True, random_state=self.random_state)


def _unchanged(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return X, y
