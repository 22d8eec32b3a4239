"""`FeatureScaler`, the first step of every exported pipeline. The other steps are in `validation.models`.

An exported file stores this class by its path, `urgency_dagster.attention.estimators.FeatureScaler`, and its instances
by their attributes. Both are part of the file format: a renamed path or attribute makes old exports unreadable.

Source: the K-EmoPhone supplementary code (order of the columns, scaling).
"""

from collections.abc import Collection, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from urgency_dagster.errors import AttentionError

MAX_NAMES_SHOWN = 5
"""Column names that an error message lists."""


class FeatureScaler(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Orders the columns as [sorted categorical, sorted numeric] and standardises the numeric ones.

    Columns are selected by name. The order of the input columns does not matter, and unknown columns are ignored.

    Attributes:
        categorical_: the fitted columns of dtype bool, sorted.
        numeric_: all other fitted columns, sorted.
        scaler_: the StandardScaler of the numeric columns, or None without numeric columns.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Learns the names, the kinds, and the mean and population standard deviation of each numeric column."""
        dtypes = {str(name): str(dtype) for name, dtype in X.dtypes.items()}
        self.categorical_ = sorted(name for name, dtype in dtypes.items() if dtype == "bool")
        self.numeric_ = sorted(name for name, dtype in dtypes.items() if dtype != "bool")
        numeric = X[self.numeric_].to_numpy(dtype=np.float32)
        self.scaler_ = StandardScaler().fit(numeric) if self.numeric_ else None
        self.n_features_in_ = len(dtypes)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """The (N, P) float32 matrix; bool columns become 0 and 1.

        Raises:
            AttentionError: X is not a DataFrame, a fitted column is missing or repeated, a column holds text, NaN or
                infinity, or a categorical column holds a value other than 0 and 1.
        """
        check_is_fitted(self)
        self._check_columns(X)
        categorical = X[self.categorical_].to_numpy(dtype=np.float32)
        with np.errstate(over="ignore"):  # a number beyond float32 becomes infinity, which is refused
            numeric = X[self.numeric_].to_numpy(dtype=np.float32)
        finite = np.isfinite(numeric).all(axis=0)
        not_finite = [name for name, is_finite in zip(self.numeric_, finite, strict=True) if not is_finite]
        refuse_columns(not_finite, "hold NaN or infinity", "finite numbers", "fill missing values with 0")
        scaled = numeric if self.scaler_ is None else self.scaler_.transform(numeric)
        return np.hstack([categorical, scaled])

    def narrowed(self, columns: Collection[str]) -> Self:
        """The same scaler for some of its columns only: every number is scaled as before."""
        check_is_fitted(self)
        narrow = copy(self)
        narrow.categorical_ = [name for name in self.categorical_ if name in columns]
        narrow.numeric_ = [name for name in self.numeric_ if name in columns]
        kept = [place for place, name in enumerate(self.numeric_) if name in columns]
        narrow.scaler_ = _narrowed(self.scaler_, kept) if kept else None
        narrow.n_features_in_ = len(narrow.categorical_) + len(kept)
        return narrow

    def _check_columns(self, X: pd.DataFrame) -> None:
        if not isinstance(X, pd.DataFrame):
            raise AttentionError(f"the features are a {type(X).__name__}", "a DataFrame with named columns")
        fitted = [*self.categorical_, *self.numeric_]
        missing = sorted(set(fitted).difference(X.columns))
        refuse_columns(missing, "are missing", "every fitted column", "add or rename them")
        features = X.loc[:, X.columns.isin(fitted)]
        repeated = sorted(map(str, features.columns[features.columns.duplicated()]))
        refuse_columns(repeated, "occur more than once", "unique names", "drop the others")
        not_numeric = sorted(str(name) for name, dtype in features.dtypes.items() if dtype.kind not in "biuf")
        refuse_columns(not_numeric, "are not numeric", "bool or numeric columns", "convert them")
        codes = features[self.categorical_]
        not_binary = sorted(codes.columns[~((codes == 0) | (codes == 1)).all()])
        refuse_columns(not_binary, "hold values other than 0 and 1", "bool, or 0 and 1", "convert them")

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002 - as above
        """The (P,) names of the output columns."""
        return np.asarray([*self.categorical_, *self.numeric_], dtype=object)


def _narrowed(scaler: StandardScaler, kept: Sequence[int]) -> StandardScaler:
    """The same StandardScaler for the columns at some places."""
    narrow = copy(scaler)
    narrow.mean_, narrow.var_, narrow.scale_ = (
        None if of_columns is None else of_columns[kept] for of_columns in (scaler.mean_, scaler.var_, scaler.scale_)
    )
    narrow.n_features_in_ = len(kept)
    return narrow


def refuse_columns(columns: Sequence[str], fault: str, expected: str, remedy: str) -> None:
    """Raises an AttentionError that lists the first columns, if there are any columns."""
    if columns:
        names = ", ".join(columns[:MAX_NAMES_SHOWN]) + (", ..." if len(columns) > MAX_NAMES_SHOWN else "")
        raise AttentionError(f"{len(columns)} columns {fault}: {names}", expected, remedy)
