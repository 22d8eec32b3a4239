from typing import Literal, cast

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from urgency_dagster.attention.estimators import FeatureScaler
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.errors import AttentionError


class TestFeatureScaler:
    def test_categorical_columns_come_first_each_kind_sorted(self, data: AttentionData, matrix: np.ndarray) -> None:
        categorical = sorted(map(str, data.X.select_dtypes("bool")))
        numeric = sorted(map(str, data.X.select_dtypes("float32")))
        names = FeatureScaler().fit(data.X).get_feature_names_out()
        assert names.tolist() == categorical + numeric
        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix[:, :3], data.X[categorical].to_numpy(dtype="float32"))
        np.testing.assert_array_equal(matrix[:, 3:], StandardScaler().fit_transform(data.X[numeric].to_numpy()))

    def test_mean_and_deviation_come_from_the_fitted_rows(self, data: AttentionData) -> None:
        train, test = data.X.iloc[:200], data.X.iloc[200:]
        scaled = FeatureScaler().fit(train).transform(test)
        expected = (test["HRT#VAL"] - train["HRT#VAL"].mean()) / train["HRT#VAL"].std(ddof=0)
        column = FeatureScaler().fit(train).get_feature_names_out().tolist().index("HRT#VAL")
        np.testing.assert_allclose(scaled[:, column], expected, rtol=1e-4)

    def test_order_and_additional_columns_do_not_matter(self, data: AttentionData, matrix: np.ndarray) -> None:
        scaler = FeatureScaler().fit(data.X)
        shuffled = data.X[data.X.columns[::-1]].assign(surplus=np.float32(1))
        np.testing.assert_array_equal(scaler.transform(shuffled), matrix)

    def test_a_missing_or_renamed_column_is_named(self, data: AttentionData) -> None:
        scaler = FeatureScaler().fit(data.X)
        with pytest.raises(AttentionError, match="1 columns are missing: HRT#VAL"):
            scaler.transform(data.X.rename(columns={"HRT#VAL": "hrt#VAL"}))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_nan_and_infinity_are_refused(self, data: AttentionData, value: float) -> None:
        scaler = FeatureScaler().fit(data.X)
        with pytest.raises(AttentionError, match="1 columns hold NaN or infinity: HRT#VAL"):
            scaler.transform(data.X.assign(**{"HRT#VAL": np.float32(value)}))

    def test_a_narrowed_scaler_scales_its_columns_as_before(self, data: AttentionData, matrix: np.ndarray) -> None:
        scaler = FeatureScaler().fit(data.X)
        kept = ["HRT#VAL", "ESM#DOW=MON", "EDA#VAL"]
        narrow = scaler.narrowed(kept)
        assert narrow.get_feature_names_out().tolist() == ["ESM#DOW=MON", "EDA#VAL", "HRT#VAL"]
        names = scaler.get_feature_names_out().tolist()
        places = [names.index(name) for name in narrow.get_feature_names_out()]
        np.testing.assert_array_equal(narrow.transform(data.X[kept]), matrix[:, places])
        np.testing.assert_array_equal(scaler.transform(data.X), matrix)
        only_bool = scaler.narrowed(["ESM#DOW=MON"])
        np.testing.assert_array_equal(only_bool.transform(data.X), matrix[:, [names.index("ESM#DOW=MON")]])

    def test_a_matrix_without_names_is_refused(self, data: AttentionData, matrix: np.ndarray) -> None:
        with pytest.raises(AttentionError, match="ndarray"):
            FeatureScaler().fit(data.X).transform(cast("pd.DataFrame", matrix))

    @pytest.mark.parametrize("kind", ["bool", "float32"])
    def test_columns_of_one_kind_are_scaled(self, data: AttentionData, kind: Literal["bool", "float32"]) -> None:
        X = data.X[[name for name, dtype in data.X.dtypes.items() if dtype == kind]]
        assert FeatureScaler().fit(X).transform(X).shape == X.shape
