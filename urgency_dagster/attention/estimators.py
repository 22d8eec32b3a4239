"""The models by name, and the scaler and selector before them. Nothing is split or judged here.

Every estimator computes on one thread: parallelism is over folds and models, and one thread gives one result.

Source: the K-EmoPhone supplementary code and the attention models built on it, for steps and hyper-parameters.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from urgency_dagster.errors import AttentionError


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
