from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit
from xgboost import XGBClassifier

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.errors import AttentionError

CHANGED: dict[str, Any] = {
    "eval_size": 0.25,
    "inner_split": "stratified",
    "eval_metric": "error",
    "early_stopping_rounds": 3,
    "random_state": 1,
    "n_estimators": 17,
    "learning_rate": 0.11,
    "max_depth": 2,
    "reg_alpha": 0.5,
    "reg_lambda": 0.6,
    "gamma": 0.7,
    "subsample": 0.9,
    "colsample_bytree": 0.95,
    "n_jobs": 2,
}
"""A value other than the default for every parameter."""


class TestEvXGBClassifier:
    def test_clone_and_set_params_keep_every_parameter(self) -> None:
        changed = EvXGBClassifier(**CHANGED)
        assert set(CHANGED) == set(EvXGBClassifier().get_params())
        assert not set(CHANGED.items()) & set(EvXGBClassifier().get_params().items())
        assert clone(clone(changed)).get_params() == CHANGED
        assert EvXGBClassifier().set_params(**CHANGED).get_params() == CHANGED

    def test_the_parameters_reach_xgboost(self, data: AttentionData, matrix: np.ndarray) -> None:
        fitted = EvXGBClassifier(**{**CHANGED, "n_jobs": 1}).fit(matrix, data.y)
        inner = fitted.model_.get_params()
        for name in set(CHANGED) - {"eval_size", "inner_split", "n_jobs"}:
            assert inner[name] == CHANGED[name], name
        assert inner["objective"] == "binary:logistic"

    def test_it_is_a_classifier(self, data: AttentionData, matrix: np.ndarray) -> None:
        fitted = EvXGBClassifier().fit(matrix, data.y, data.groups)
        assert is_classifier(fitted)
        assert fitted.classes_.tolist() == [0, 1]
        assert fitted.predict_proba(matrix).shape == (300, 2)
        assert fitted.score(matrix, data.y) > 0.7
        assert fitted.feature_importances_.shape == (matrix.shape[1],)

    @pytest.mark.parametrize("eval_size", [0.2, 0.5])
    def test_the_inner_split_shares_no_participant(
        self, data: AttentionData, matrix: np.ndarray, eval_size: float | None
    ) -> None:
        train, stop = EvXGBClassifier(eval_size=eval_size)._inner_rows(matrix, data.y, data.groups)
        assert not set(data.groups[train]) & set(data.groups[stop])
        assert sorted([*train, *stop]) == list(range(300))
        assert len(stop) / 300 == pytest.approx(eval_size, abs=0.08)

    def test_it_equals_xgboost_on_that_split(self, data: AttentionData, matrix: np.ndarray) -> None:
        train, stop = next(StratifiedGroupKFold(5, shuffle=True, random_state=42).split(matrix, data.y, data.groups))
        plain = XGBClassifier(
            learning_rate=0.03, reg_alpha=2, reg_lambda=2, gamma=2, max_depth=3, subsample=0.8, colsample_bytree=0.8,
            eval_metric="logloss", early_stopping_rounds=50, random_state=42, objective="binary:logistic", n_jobs=1,
        ).fit(matrix[train], data.y[train], eval_set=[(matrix[stop], data.y[stop])], verbose=False)  # fmt: skip
        ours = EvXGBClassifier().fit(matrix, data.y, data.groups)
        np.testing.assert_array_equal(ours.predict_proba(matrix), plain.predict_proba(matrix))

    def test_the_originals_split_is_an_option(self, data: AttentionData, matrix: np.ndarray) -> None:
        expected = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=42).split(matrix, data.y))
        rows = EvXGBClassifier(inner_split="stratified")._inner_rows(matrix, data.y, None)
        for ours, theirs in zip(rows, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("eval_size", [None, 0])
    def test_without_eval_size_it_fits_all_rows_and_trees(
        self, data: AttentionData, matrix: np.ndarray, eval_size: float | None
    ) -> None:
        fitted = EvXGBClassifier(eval_size=eval_size, n_estimators=20).fit(matrix, data.y)
        assert fitted.model_.get_booster().num_boosted_rounds() == 20

    def test_it_stops_early(self, data: AttentionData, matrix: np.ndarray) -> None:
        noise = np.random.default_rng(0).permutation(data.y)
        fitted = EvXGBClassifier(early_stopping_rounds=2, learning_rate=0.5, gamma=0).fit(matrix, noise, data.groups)
        assert fitted.model_.get_booster().num_boosted_rounds() < 100

    def test_the_held_out_rows_decide_when_it_stops(self, data: AttentionData, matrix: np.ndarray) -> None:
        """On permuted labels the loss of the held-out rows soon rises, while that of the training rows falls."""
        noise = np.random.default_rng(0).permutation(data.y)
        fast: dict[str, Any] = {"early_stopping_rounds": 2, "learning_rate": 0.5, "gamma": 0}
        ours = EvXGBClassifier(**fast)
        train, held_out = ours._inner_rows(matrix, noise, data.groups)
        parameters = ours._xgboost_parameters()
        evaluation_set = [(matrix[held_out], noise[held_out])]
        plain = XGBClassifier(**parameters).fit(matrix[train], noise[train], eval_set=evaluation_set, verbose=False)
        assert ours.fit(matrix, noise, data.groups).model_.best_iteration == plain.best_iteration < 10

    @pytest.mark.parametrize(
        ("parameters", "said"),
        [({}, "groups is None"), ({"inner_split": "random"}, "'random'; expected 'participant' or 'stratified'")],
    )
    def test_invalid_calls_are_refused(
        self, data: AttentionData, matrix: np.ndarray, parameters: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(AttentionError, match=said):
            EvXGBClassifier(**parameters).fit(matrix, data.y)

    @pytest.mark.parametrize("participants", [2, 3, 4])
    @pytest.mark.parametrize("seed", range(4))
    def test_few_participants_leave_rows_on_both_inner_sides(
        self, data: AttentionData, matrix: np.ndarray, participants: int, seed: int
    ) -> None:
        groups = np.array([f"P{row % participants}" for row in range(300)])
        train, stop = EvXGBClassifier(random_state=seed)._inner_rows(matrix, data.y, groups)
        assert len(train) > 0
        assert len(stop) > 0
        assert not set(groups[train]) & set(groups[stop])

    def test_one_participant_cannot_be_held_out(self, data: AttentionData, matrix: np.ndarray) -> None:
        with pytest.raises(AttentionError, match="the rows are of one participant"):
            EvXGBClassifier().fit(matrix, data.y, np.full(300, "P01"))

    def test_an_inner_side_of_one_class_is_an_error(self, data: AttentionData, matrix: np.ndarray) -> None:
        label = (data.groups == "P03").astype(int)
        groups = np.where(label == 1, "P03", "P01")
        with pytest.raises(AttentionError, match="one class"):
            EvXGBClassifier(eval_size=0.5, random_state=0).fit(matrix, label, groups)
