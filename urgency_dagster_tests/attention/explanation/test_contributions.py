"""Contributions against their definition: they add up, and TreeSHAP is the Shapley value of the trees."""

import math
from collections.abc import Collection
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.explanation.contributions import Contributions, contributions_of
from urgency_dagster.attention.explanation.forest import forest_as_booster
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.models import fit_estimator
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, Protocol, TrainingRows
from urgency_dagster.errors import AttentionError

COLUMNS = 6
"""Few enough for every subset of features."""


@pytest.fixture(scope="module")
def rows(data: AttentionData, matrix: np.ndarray) -> TrainingRows:
    X = np.hstack([matrix[:, :1], matrix[:, -COLUMNS + 1 :]])
    return TrainingRows(X, data.y, data.groups, 1, X[:0], data.y[:0])


@pytest.fixture(scope="module")
def models(rows: TrainingRows) -> dict[str, Any]:
    return {name: fit_estimator(name, rows, Protocol()) for name in MODEL_NAMES}


@pytest.mark.parametrize(
    ("model", "unit", "method", "tolerance"),
    [
        ("logreg", "log-odds", "coefficient times scaled value", 1e-12),
        ("rf", "probability", "TreeSHAP", 1e-12),
        ("lgbm", "log-odds", "TreeSHAP", 1e-12),
        ("voting", "probability", "mean of the voters' contributions, rescaled to probabilities", 1e-12),
        ("xgb", "log-odds", "TreeSHAP", 1e-5),  # XGBoost computes in float32
    ],
)
def test_baseline_and_contributions_add_up_to_the_prediction(
    rows: TrainingRows, models: dict[str, Any], model: str, unit: str, method: str, tolerance: float
) -> None:
    found = contributions_of(models[model], rows.X)
    assert (found.unit, found.method) == (unit, method)
    assert found.values.shape == rows.X.shape
    probability = models[model].predict_proba(rows.X)[:, 1].astype(np.float64)
    expected = probability if unit == "probability" else logit(probability)
    np.testing.assert_allclose(found.baseline + found.values.sum(axis=1), expected, rtol=0, atol=tolerance)
    in_probabilities = found.as_probabilities()
    total = in_probabilities.baseline + in_probabilities.values.sum(axis=1)
    np.testing.assert_allclose(total, probability, rtol=0, atol=tolerance)


def test_a_linear_contribution_is_coefficient_times_scaled_value(rows: TrainingRows, models: dict[str, Any]) -> None:
    logreg = models["logreg"]
    found = contributions_of(logreg, rows.X)
    np.testing.assert_array_equal(found.values, logreg.coef_[0] * rows.X.astype(np.float64))
    assert found.baseline == logreg.intercept_[0]


def share_of_1(tree: Any, row: np.ndarray, known: Collection[int], node: int = 0) -> float:
    """What a tree predicts if only some features are known: both branches, weighted by their training rows."""
    if tree.children_left[node] == -1:
        return float(tree.value[node, 0, 1])
    left, right, feature = tree.children_left[node], tree.children_right[node], tree.feature[node]
    if feature in known:
        return share_of_1(tree, row, known, left if row[feature] <= tree.threshold[node] else right)
    shares = tree.weighted_n_node_samples[[left, right]] / tree.weighted_n_node_samples[node]
    return float(shares @ [share_of_1(tree, row, known, child) for child in (left, right)])


def shapley_values(forest: RandomForestClassifier, row: np.ndarray) -> np.ndarray:
    """The Shapley value of each feature by its definition, over all subsets of the others."""

    def predicted(known: Collection[int]) -> float:
        return float(np.mean([share_of_1(tree.tree_, row, known) for tree in forest.estimators_]))

    values = np.zeros(COLUMNS)
    for feature in range(COLUMNS):
        others = [other for other in range(COLUMNS) if other != feature]
        for size in range(COLUMNS):
            weight = 1 / (COLUMNS * math.comb(COLUMNS - 1, size))
            for known in combinations(others, size):
                values[feature] += weight * (predicted({*known, feature}) - predicted(known))
    return values


@pytest.mark.parametrize("max_depth", [3, None])
def test_the_contributions_to_a_forest_are_its_shapley_values(rows: TrainingRows, max_depth: int | None) -> None:
    forest = RandomForestClassifier(4, max_depth=max_depth, random_state=0, n_jobs=1).fit(rows.X[:60], rows.y[:60])
    found = contributions_of(forest, rows.X[60:65])
    expected = [shapley_values(forest, row) for row in rows.X[60:65]]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("max_depth", [1, 5, None])
def test_the_booster_of_a_forest_predicts_as_the_forest(rows: TrainingRows, max_depth: int | None) -> None:
    forest = RandomForestClassifier(20, max_depth=max_depth, random_state=1, n_jobs=1).fit(rows.X, rows.y)
    predicted = forest_as_booster(forest).predict(rows.X)
    np.testing.assert_allclose(predicted, forest.predict_proba(rows.X)[:, 1], rtol=0, atol=1e-12)


def test_a_value_on_a_threshold_takes_the_same_branch(rows: TrainingRows) -> None:
    forest = RandomForestClassifier(1, max_depth=1, bootstrap=False, random_state=0).fit(np.rint(rows.X), rows.y)
    tree = forest.estimators_[0].tree_
    on_threshold = np.zeros((1, COLUMNS), np.float32)
    on_threshold[0, tree.feature[0]] = tree.threshold[0]
    predicted = forest_as_booster(forest).predict(on_threshold)
    np.testing.assert_allclose(predicted, forest.predict_proba(on_threshold)[:, 1], rtol=0, atol=1e-15)


def test_a_forest_that_never_splits_has_no_reason(rows: TrainingRows) -> None:
    stumps = RandomForestClassifier(3, random_state=0).fit(np.zeros_like(rows.X), rows.y)
    found = contributions_of(stumps, rows.X)
    assert not found.values.any()
    assert found.baseline == pytest.approx(stumps.predict_proba(rows.X)[0, 1])


def test_a_vote_is_the_mean_of_its_rescaled_voters(rows: TrainingRows, models: dict[str, Any]) -> None:
    voters = [contributions_of(voter, rows.X) for voter in models["voting"].estimators_]
    assert [voter.unit for voter in voters] == ["log-odds", "probability", "log-odds"]
    expected = np.mean([voter.as_probabilities().values for voter in voters], axis=0)
    np.testing.assert_array_equal(contributions_of(models["voting"], rows.X).values, expected)


def test_rescaling_keeps_signs_and_shares() -> None:
    log_odds = Contributions(np.array([[2.0, -1.0], [1.0, -1.0], [0.0, 0.0]]), 0.0, "log-odds", "")
    found = log_odds.as_probabilities()
    np.testing.assert_allclose(found.values[0] / found.values[0].sum(), [2, -1])
    np.testing.assert_allclose(found.values[1], [0.25, -0.25])  # no change: the slope of the sigmoid at 0
    assert not found.values[2].any()
    assert found.baseline == 0.5


def test_xgboost_without_early_stopping_is_explained_by_all_its_trees(data: AttentionData, rows: TrainingRows) -> None:
    model = EvXGBClassifier(eval_size=0).fit(rows.X, data.y)
    found = contributions_of(model, rows.X)
    expected = logit(model.predict_proba(rows.X)[:, 1].astype(np.float64))
    np.testing.assert_allclose(found.baseline + found.values.sum(axis=1), expected, rtol=0, atol=1e-5)


def test_xgboost_is_explained_by_the_trees_up_to_its_best_iteration(data: AttentionData, rows: TrainingRows) -> None:
    overfitted = EvXGBClassifier(learning_rate=1.0, max_depth=6, gamma=0, reg_alpha=0, early_stopping_rounds=20)
    overfitted.fit(rows.X, data.y, data.groups)
    assert overfitted.model_.best_iteration + 1 < overfitted.model_.get_booster().num_boosted_rounds()
    found = contributions_of(overfitted, rows.X)
    expected = logit(overfitted.predict_proba(rows.X)[:, 1].astype(np.float64))
    np.testing.assert_allclose(found.baseline + found.values.sum(axis=1), expected, rtol=0, atol=1e-5)


def test_another_model_is_refused(rows: TrainingRows) -> None:
    with pytest.raises(AttentionError, match="a SVC has no reasons"):
        contributions_of(SVC().fit(rows.X, rows.y), rows.X)
