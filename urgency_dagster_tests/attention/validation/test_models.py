import dataclasses
import pickle
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedShuffleSplit
from xgboost import XGBClassifier

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.models import (
    MODELS,
    XGB_SETTINGS,
    fit_estimator,
    fit_preprocessing,
    make_preprocessing,
    training_rows,
)
from urgency_dagster.attention.validation.oversampling import synthetic_rows
from urgency_dagster.attention.validation.protocol import BASELINE, MODEL_NAMES, Protocol, TrainingRows
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.conftest import SIGNAL


@pytest.fixture(scope="module")
def rows(data: AttentionData, matrix: np.ndarray) -> TrainingRows:
    return TrainingRows(matrix, data.y, data.groups, 3, matrix[:0], data.y[:0])


class TestPreprocessing:
    def test_it_keeps_the_informative_columns(self, data: AttentionData) -> None:
        names = fit_preprocessing(data.X, data.y, Protocol()).get_feature_names_out().tolist()
        assert set(SIGNAL) <= set(names)
        assert len(names) < data.X.shape[1]

    def test_nothing_selected_is_an_error(self, data: AttentionData) -> None:
        constant = pd.DataFrame({"HRT#VAL": np.ones(len(data.X), "float32")})
        with pytest.raises(AttentionError, match="keeps none of 1 features"):
            fit_preprocessing(constant, data.y, Protocol())

    @pytest.mark.parametrize("informative", [True, False])
    def test_too_few_rows_are_named_with_the_number_that_is_enough(
        self, data: AttentionData, informative: bool
    ) -> None:
        y = data.y if informative else np.random.default_rng(0).permutation(data.y)
        with pytest.raises(AttentionError, match=r"with 300 rows and selector_c 1e-05; .*raise selector_c") as caught:
            fit_preprocessing(data.X, y, Protocol(selector_c=1e-5))
        needed = float(str(caught.value).split("selector_c of about ")[1].split(",")[0])
        with pytest.raises(AttentionError):
            fit_preprocessing(data.X, y, Protocol(selector_c=0.9 * needed))
        assert len(fit_preprocessing(data.X, y, Protocol(selector_c=1.1 * needed)).get_feature_names_out()) >= 1


class TestModels:
    def test_every_name_has_a_factory(self) -> None:
        assert tuple(MODELS) == (*MODEL_NAMES, BASELINE)

    @pytest.mark.parametrize("name", MODELS)
    def test_each_model_computes_on_one_thread_with_the_seed(self, name: str) -> None:
        parameters = MODELS[name](Protocol(seed=13)).get_params()
        assert {value for key, value in parameters.items() if key.endswith("n_jobs")} <= {1, None}
        seeds = {value for key, value in parameters.items() if key.endswith("random_state")}
        assert seeds == {13}

    @pytest.mark.parametrize("name", MODELS)
    def test_fitting_twice_gives_the_same_bytes(self, rows: TrainingRows, name: str) -> None:
        first, second = (fit_estimator(name, rows, Protocol()) for _ in range(2))
        assert pickle.dumps(first) == pickle.dumps(second)

    def test_logreg_is_sparse(self, rows: TrainingRows) -> None:
        assert (fit_estimator("logreg", rows, Protocol()).coef_ == 0).any()


class TestXgbSettings:
    @pytest.mark.parametrize(
        ("settings", "effective"),
        [
            ("authors", {"early_stopping_rounds": 10}),
            ("authors_stated", {"early_stopping_rounds": 10, "learning_rate": 0.01}),
            ("effective", {"early_stopping_rounds": 50}),
        ],
    )
    def test_the_effective_hyper_parameters_equal_plain_xgboost(
        self, data: AttentionData, rows: TrainingRows, settings: Any, effective: dict[str, Any]
    ) -> None:
        protocol = Protocol(xgb_settings=settings, inner_split="stratified")
        ours = fit_estimator("xgb", rows, protocol)
        train, stop = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=42).split(rows.X, data.y))
        plain = XGBClassifier(eval_metric="logloss", random_state=42, n_jobs=1, **effective)
        plain.fit(rows.X[train], data.y[train], eval_set=[(rows.X[stop], data.y[stop])], verbose=False)
        np.testing.assert_array_equal(ours.predict_proba(rows.X), plain.predict_proba(rows.X))

    def test_each_option_has_different_hyper_parameters(self) -> None:
        assert set(XGB_SETTINGS) == set(get_args(Protocol.model_fields["xgb_settings"].annotation))
        assert len({tuple(sorted(settings.items())) for settings in XGB_SETTINGS.values()}) == 4
        assert MODELS["xgb"](Protocol(inner_split="stratified")).inner_split == "stratified"


@pytest.fixture(scope="module")
def unequal(data: AttentionData) -> AttentionData:
    """The data with 60 rows of class 1."""
    y = np.zeros(300, dtype=np.int64)
    y[::5] = 1
    return dataclasses.replace(data, y=y)


@pytest.fixture(scope="module")
def more_rows(unequal: AttentionData) -> TrainingRows:
    preprocessing = make_preprocessing(Protocol()).set_params(select__threshold=0.0).fit(unequal.X, unequal.y)
    return training_rows(preprocessing, unequal.X, unequal.y, unequal.groups, Protocol(oversample=True))


class TestOversampledRows:
    def test_synthetic_rows_are_added_to_the_training_rows(
        self, unequal: AttentionData, more_rows: TrainingRows
    ) -> None:
        assert more_rows.X.shape[0] == 300
        assert more_rows.synthetic.shape == (180, more_rows.X.shape[1])
        assert more_rows.synthetic_labels.tolist() == [1] * 180
        assert set(np.unique(more_rows.synthetic[:, : more_rows.categorical])) <= {0.0, 1.0}

    def test_every_model_except_the_baseline_is_fitted_on_synthetic_rows(self, more_rows: TrainingRows) -> None:
        protocol = Protocol(oversample=True)
        X, y = np.vstack([more_rows.X, more_rows.synthetic]), np.hstack([more_rows.y, more_rows.synthetic_labels])
        for name in ("logreg", "lgbm"):
            expected = MODELS[name](protocol).fit(X, y).predict_proba(more_rows.X)
            found = fit_estimator(name, more_rows, protocol).predict_proba(more_rows.X)
            np.testing.assert_array_equal(found, expected)
        assert fit_estimator(BASELINE, more_rows, protocol).class_prior_.tolist() == [0.8, 0.2]

    def test_rows_held_out_by_participant_are_neither_oversampled_nor_mixed_in(
        self, more_rows: TrainingRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Any] = {}
        monkeypatch.setattr(XGBClassifier, "fit", lambda model, X, y, **more: seen.update(X=X, y=y, **more))
        monkeypatch.setattr(XGBClassifier, "classes_", [0, 1], raising=False)
        fit_estimator("xgb", more_rows, Protocol(oversample=True))
        train, stop = EvXGBClassifier()._inner_rows(more_rows.X, more_rows.y, more_rows.groups)
        np.testing.assert_array_equal(seen["eval_set"][0][0], more_rows.X[stop])
        np.testing.assert_array_equal(seen["X"][: len(train)], more_rows.X[train])
        own, labels = synthetic_rows(more_rows.X[train], more_rows.y[train], more_rows.categorical, 42)
        np.testing.assert_array_equal(seen["X"][len(train) :], own)
        np.testing.assert_array_equal(seen["y"], np.hstack([more_rows.y[train], labels]))

    def test_the_original_inner_split_draws_from_oversampled_rows(
        self, more_rows: TrainingRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Any] = {}
        monkeypatch.setattr(XGBClassifier, "fit", lambda model, X, y, **more: seen.update(X=X, **more))
        monkeypatch.setattr(XGBClassifier, "classes_", [0, 1], raising=False)
        fit_estimator("xgb", more_rows, Protocol(oversample=True, inner_split="stratified"))
        assert (len(seen["X"]), len(seen["eval_set"][0][0])) == (384, 96)
