"""`protocol: original` against a plain reimplementation of the original notebook.

Source: cells 52, 63, 65 and 72 of `ml_model.ipynb` of moovingsloth/wearable-attention-fatigue.
"""

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

from urgency_dagster.attention.export.files import fit_all_rows, fit_pipeline
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.row_draw import drawn_by_the_original
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.fit_cache import FitCache
from urgency_dagster.attention.validation.folds import prepare_fold, split_folds
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, CrossValidationConfig, ModelResult, Protocol
from urgency_dagster.errors import AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster_tests.attention.conftest import times

pytestmark = pytest.mark.filterwarnings("ignore:.*feature names.*", "ignore:.*penalty.*")

ORIGINAL = CrossValidationConfig(protocol="original", backend="sequential")


class EvXGB(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Early stopping as in cell 65: `clone` sees the four named parameters only."""

    def __init__(
        self, eval_size: Any = None, eval_metric: str = "logloss", early_stopping_rounds: int = 10,
        random_state: Any = None, **parameters: Any,
    ) -> None:  # fmt: skip
        self.eval_size, self.eval_metric = eval_size, eval_metric
        self.early_stopping_rounds, self.random_state = early_stopping_rounds, random_state
        self.model = XGBClassifier(
            random_state=random_state, eval_metric=eval_metric, early_stopping_rounds=early_stopping_rounds,
            n_jobs=1, **parameters,
        )  # fmt: skip

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "EvXGB":
        split = StratifiedShuffleSplit(random_state=self.random_state, test_size=self.eval_size)
        train, held_out = next(split.split(X, y))
        self.model.fit(X.iloc[train], y[train], eval_set=[(X.iloc[held_out], y[held_out])], verbose=False)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        probabilities: np.ndarray = self.model.predict_proba(X)
        return probabilities


def estimators() -> dict[str, tuple[Any, bool]]:
    """Each estimator of cell 72, and whether it has the selector."""
    logreg = LogisticRegression(penalty="l1", solver="liblinear", random_state=42)
    rf = RandomForestClassifier(random_state=42, max_depth=5)
    lgbm = LGBMClassifier(
        random_state=42, learning_rate=0.03, max_depth=5, num_leaves=31, min_child_samples=10, min_split_gain=0.0,
        reg_alpha=2.0, reg_lambda=2.0, subsample=0.8, colsample_bytree=0.8, n_estimators=100, importance_type="gain",
        verbosity=-1, n_jobs=1,
    )  # fmt: skip
    xgb = EvXGB(
        random_state=42, eval_metric="logloss", eval_size=0.2, early_stopping_rounds=50, objective="binary:logistic",
        learning_rate=0.03, reg_alpha=2.0, reg_lambda=2.0, gamma=2.0, max_depth=3, subsample=0.8, colsample_bytree=0.8,
    )  # fmt: skip
    voting = VotingClassifier([("logreg", clone(logreg)), ("rf", clone(rf)), ("lgbm", clone(lgbm))], voting="soft")
    return {
        "logreg": (logreg, False),
        **{n: (e, True) for n, e in (("rf", rf), ("lgbm", lgbm), ("voting", voting), ("xgb", xgb))},
    }


def reimplemented(data: AttentionData, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The test rows and probabilities of each fold, as cell 63 computes them."""
    estimator, select = estimators()[name]
    X = data.X
    categorical = np.asarray(sorted(map(str, X.select_dtypes("bool"))))
    numeric = np.asarray(sorted(X.columns[~X.columns.isin(categorical)]))
    for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=42).split(X, data.y, data.groups):
        scaler = StandardScaler().fit(X[numeric].iloc[train].values)
        X_train, X_test = (
            pd.DataFrame(
                np.concatenate(
                    (X[categorical].iloc[rows].values, scaler.transform(X[numeric].iloc[rows].values)), axis=1
                ),
                columns=[*categorical, *numeric],
            )
            for rows in (train, test)
        )
        if select:
            svc = LinearSVC(
                penalty="l1", loss="squared_hinge", dual=False, tol=1e-3, C=1e-2, max_iter=5000, random_state=42
            )
            kept = SelectFromModel(svc, threshold=1e-5).fit(X_train.values, data.y[train]).get_support()
            X_train, X_test = X_train.loc[:, kept], X_test.loc[:, kept]
        fitted = clone(clone(estimator)).fit(X_train, data.y[train])
        yield test, fitted.predict_proba(X_test)[:, 1]


@pytest.fixture(scope="module")
def ours(data: AttentionData) -> dict[str, ModelResult]:
    return cross_validate(data, MODEL_NAMES, ORIGINAL)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_the_probabilities_are_those_of_a_plain_reimplementation(
    data: AttentionData, ours: dict[str, ModelResult], name: str
) -> None:
    probability = np.full(len(data.y), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test, of_fold in reimplemented(data, name):
            probability[test] = of_fold
    np.testing.assert_allclose(ours[name].predictions["probability"], probability, atol=1e-6)


def test_the_rows_are_those_that_the_original_cross_validates(data: AttentionData) -> None:
    """Cell 52 draws them from X, y and group, and cell 72 reads what it stored."""
    X, _, y, _, group, _ = train_test_split(
        data.X, data.y, data.groups, test_size=0.1, stratify=data.y, random_state=42
    )
    drawn = drawn_by_the_original(data)
    pd.testing.assert_frame_equal(drawn.X, X.reset_index(drop=True))
    assert (drawn.y.tolist(), drawn.groups.tolist()) == (y.tolist(), group.tolist())
    assert drawn.t_s is not None
    assert drawn.t_s.tolist() == times(data)[X.index].tolist()
    assert drawn.warnings == ("30 of 300 rows were set aside at random, as in the original",)
    ours = cross_validate(drawn, ("logreg",), ORIGINAL)["logreg"].predictions["probability"]
    for test, probability in reimplemented(drawn, "logreg"):
        np.testing.assert_allclose(ours[test], probability, atol=1e-6)


def test_too_few_rows_of_a_label_cannot_be_drawn(data: AttentionData) -> None:
    alone = dataclasses.replace(data, y=(np.arange(len(data.y)) == 0).astype(np.int64))
    with pytest.raises(AttentionError, match=r"\[299, 1\] rows of the labels 0 and 1"):
        drawn_by_the_original(alone)


def test_the_honest_protocol_gives_other_numbers(data: AttentionData, ours: dict[str, ModelResult]) -> None:
    honest = cross_validate(data, ("logreg", "xgb"), CrossValidationConfig(backend="sequential"))
    for name, result in honest.items():
        assert not np.allclose(result.predictions["probability"], ours[name].predictions["probability"], atol=1e-3)


def test_one_model_alone_has_the_same_numbers(data: AttentionData, ours: dict[str, ModelResult]) -> None:
    for name in ("logreg", "voting"):
        alone = cross_validate(data, (name,), ORIGINAL)[name]
        pd.testing.assert_frame_equal(alone.predictions, ours[name].predictions)


def test_the_cache_keeps_and_removes_both_fits_of_logreg(
    data: AttentionData, paths: AttentionPaths, ours: dict[str, ModelResult]
) -> None:
    cache = FitCache.open(paths.fit_cache, data, Protocol.of(ORIGINAL))
    cross_validate(data, ("logreg", "voting"), ORIGINAL, cache=cache)
    again = cross_validate(data, ("logreg",), ORIGINAL, cache=cache)["logreg"]
    assert again.reused == 5
    pd.testing.assert_frame_equal(again.predictions, ours["logreg"].predictions)
    cache.remove(["logreg", "voting"])
    assert list(paths.fit_cache.iterdir()) == []


def test_logreg_has_every_feature_and_the_others_have_the_selected_ones(data: AttentionData) -> None:
    fold = split_folds(data.y, data.groups, ORIGINAL)[0]
    prepared = prepare_fold(data.X, data.y, data.groups, fold, ORIGINAL)
    assert prepared.all_features is not None
    assert sorted(prepared.all_features.features) == sorted(data.X.columns)
    assert prepared.all_features.train.categorical == len(data.X.select_dtypes("bool").columns)
    assert len(prepared.features) < data.X.shape[1]


@pytest.mark.parametrize("name", ["logreg", "rf"])
def test_the_exported_model_has_the_features_of_its_cross_validation(data: AttentionData, name: str) -> None:
    pipeline = fit_pipeline(name, fit_all_rows(data, Protocol.of(ORIGINAL)))
    features = pipeline[:-1].get_feature_names_out()
    assert (len(features) == data.X.shape[1]) == (name == "logreg")
    assert pipeline.predict_proba(data.X).shape == (len(data.y), 2)
