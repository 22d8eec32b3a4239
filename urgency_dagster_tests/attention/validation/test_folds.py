import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE, SMOTENC
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from urgency_dagster.attention import tables
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.folds import prepare_fold, split_folds
from urgency_dagster.attention.validation.protocol import (
    BASELINE,
    MODEL_NAMES,
    CrossValidationConfig,
    ModelResult,
    Protocol,
)
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.conftest import SIGNAL, make_data

SEQUENTIAL = CrossValidationConfig(backend="sequential")


@pytest.fixture(scope="module")
def results(data: AttentionData) -> dict[str, ModelResult]:
    return cross_validate(data, (*MODEL_NAMES, BASELINE), SEQUENTIAL)


def plain_models() -> dict[str, Any]:
    """The protocol's models as anyone would write them."""
    logreg = LogisticRegression(l1_ratio=1, solver="liblinear", random_state=42)
    rf = RandomForestClassifier(random_state=42, max_depth=5)
    lgbm = LGBMClassifier(
        random_state=42, learning_rate=0.03, max_depth=5, num_leaves=31, min_child_samples=10, reg_alpha=2,
        reg_lambda=2, subsample=0.8, colsample_bytree=0.8, n_estimators=100, importance_type="gain", verbosity=-1,
        n_jobs=1,
    )  # fmt: skip
    voting = VotingClassifier([("logreg", logreg), ("rf", rf), ("lgbm", lgbm)], voting="soft")
    return {"logreg": logreg, "rf": rf, "lgbm": lgbm, "voting": voting}


def plain_fold(
    X: Any, y: np.ndarray, train: np.ndarray, test: np.ndarray, model: Any, oversample: bool = False
) -> dict[str, float]:
    """One fold by scikit-learn and imbalanced-learn alone: scale numeric, order, select, oversample, fit, score."""
    categorical, numeric = sorted(X.select_dtypes("bool")), sorted(X.select_dtypes("float32"))
    scaler = StandardScaler().fit(X[numeric].iloc[train])

    def ordered(rows: np.ndarray) -> np.ndarray:
        return np.hstack([X[categorical].iloc[rows].to_numpy("float32"), scaler.transform(X[numeric].iloc[rows])])

    svc = LinearSVC(penalty="l1", dual=False, tol=1e-3, C=1e-2, max_iter=5000, random_state=42)
    selector = SelectFromModel(svc, threshold=1e-5).fit(ordered(train), y[train])
    X_train, y_train = selector.transform(ordered(train)), y[train]
    if oversample:
        left = list(range(selector.get_support()[: len(categorical)].sum()))
        sampler = SMOTENC(left, random_state=42) if left else SMOTE(random_state=42)
        X_train, y_train = sampler.fit_resample(X_train, y_train)
    model.fit(X_train, y_train)
    X_test = selector.transform(ordered(test))
    predicted = model.predict(X_test)
    return {
        "accuracy": accuracy_score(y[test], predicted),
        "f1_macro": f1_score(y[test], predicted, average="macro"),
        "roc_auc": roc_auc_score(y[test], model.predict_proba(X_test)[:, 1]),
        "n_features": X_test.shape[1],
        "n": len(test),
    }


@pytest.mark.filterwarnings("ignore:X has feature names, but StandardScaler")
@pytest.mark.parametrize("name", ["logreg", "rf", "lgbm", "voting"])
def test_scores_equal_a_plain_scikit_learn_loop(
    data: AttentionData, results: dict[str, ModelResult], name: str
) -> None:
    splits = StratifiedGroupKFold(5, shuffle=True, random_state=42).split(data.X, data.y, data.groups)
    for (train, test), (_, ours) in zip(splits, results[name].folds.iterrows(), strict=True):
        for score, expected in plain_fold(data.X, data.y, train, test, plain_models()[name]).items():
            assert ours[score] == pytest.approx(expected, abs=1e-9), score


@pytest.fixture(scope="module")
def skewed() -> AttentionData:
    """Data whose classes are unequal, and whose selection leaves a categorical column."""
    data = make_data(seed=11)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(300) < 0.4, 0, data.y)
    X = data.X.assign(**{"DST_MOT#VAL=WALKING": np.where(rng.random(300) < 0.9, y == 1, y == 0)})
    for name, strength in SIGNAL.items():
        X[name] = (rng.normal(0, 5, 300) + strength * y).astype("float32")
    return dataclasses.replace(data, X=X, y=y)


@pytest.mark.filterwarnings("ignore:X has feature names, but StandardScaler")
@pytest.mark.parametrize("name", ["logreg", "lgbm", "voting"])
def test_oversampled_scores_equal_a_plain_loop(skewed: AttentionData, name: str) -> None:
    config = SEQUENTIAL.changed(oversample=True)
    folds = split_folds(skewed.y, skewed.groups, config)
    assert all(prepare_fold(skewed.X, skewed.y, skewed.groups, fold, config).train.categorical for fold in folds)
    ours = cross_validate(skewed, [name], config)[name].folds
    for fold, (_, row) in zip(folds, ours.iterrows(), strict=True):
        model = plain_models()[name]
        expected = plain_fold(skewed.X, skewed.y, fold.train, fold.test, model, oversample=True)
        assert {score: row[score] for score in expected} == pytest.approx(expected, abs=1e-9)


def test_oversampling_makes_training_classes_equal_and_leaves_the_rest(skewed: AttentionData) -> None:
    fold = split_folds(skewed.y, skewed.groups, Protocol())[0]
    plain, more = (
        prepare_fold(skewed.X, skewed.y, skewed.groups, fold, Protocol(oversample=oversample))
        for oversample in (False, True)
    )
    np.testing.assert_array_equal(plain.train.X, more.train.X)
    np.testing.assert_array_equal(plain.X_test, more.X_test)
    assert (len(plain.train.synthetic), len(plain.train.synthetic_labels)) == (0, 0)
    zeros, ones = np.bincount(np.hstack([more.train.y, more.train.synthetic_labels]))
    assert zeros == ones == np.bincount(more.train.y).max()


def test_the_baseline_is_not_oversampled(skewed: AttentionData) -> None:
    oversampled = SEQUENTIAL.changed(oversample=True)
    plain, more = (cross_validate(skewed, [BASELINE], config)[BASELINE] for config in (SEQUENTIAL, oversampled))
    pd.testing.assert_frame_equal(plain.predictions, more.predictions)


@pytest.fixture(scope="module")
def one_sided(data: AttentionData) -> AttentionData:
    """The data, but P03 has no row of class 1."""
    return dataclasses.replace(data, y=np.where(data.groups == "P03", 0, data.y))


LOGO = SEQUENTIAL.changed(splitter="logo")


@pytest.mark.filterwarnings("ignore:X has feature names, but StandardScaler")
def test_leaving_one_participant_out_equals_a_plain_loop(data: AttentionData) -> None:
    ours = cross_validate(data, ["logreg"], LOGO)["logreg"]
    assert ours.folds["n_participants"].tolist() == [1] * 10
    splits = LeaveOneGroupOut().split(data.X, data.y, data.groups)
    for (train, test), (_, row) in zip(splits, ours.folds.iterrows(), strict=True):
        for score, expected in plain_fold(data.X, data.y, train, test, plain_models()["logreg"]).items():
            assert row[score] == pytest.approx(expected, abs=1e-9), score


def test_a_participant_of_one_class_is_predicted_and_scored_as_far_as_possible(one_sided: AttentionData) -> None:
    result = cross_validate(one_sided, ["voting", BASELINE], LOGO)["voting"]
    assert result.predictions["row"].tolist() == list(range(300))
    of_one_class = result.folds.loc[result.folds["n_positive"] == 0]
    assert of_one_class["fold"].tolist() == [3]
    missing = of_one_class.columns[of_one_class.isna().all()].tolist()
    assert missing == ["balanced_accuracy", "f1_macro", "f1_1", "roc_auc", "pr_auc", "mcc"]
    assert not result.folds.drop(index=of_one_class.index).isna().any(axis=None)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([0, 0, 1, 1, 0, 1], r"1 of 3 participants have rows of both classes; expected at least 2"),
        ([0, 0, 0, 0, 1, 1], r"0 of 3 participants"),
    ],
)
def test_leaving_one_out_needs_participants_of_both_classes(y: np.ndarray, said: str) -> None:
    with pytest.raises(AttentionError, match=said):
        split_folds(np.array(y), np.repeat(["P1", "P2", "P3"], 2), LOGO)


def test_one_participant_alone_cannot_be_left_out() -> None:
    with pytest.raises(AttentionError, match="1 of 1 participants"):
        split_folds(np.array([0, 1]), np.array(["P1", "P1"]), LOGO)


def test_every_row_is_predicted_once_by_a_model_that_never_saw_its_participant(
    data: AttentionData, results: dict[str, ModelResult]
) -> None:
    for result in results.values():
        table = result.predictions
        assert list(table.columns) == tables.ATTENTION_PREDICTIONS.names
        assert table["row"].tolist() == list(range(300))
        assert table["y"].tolist() == data.y.tolist()
        assert table["participant"].tolist() == data.groups.tolist()
        assert table.groupby("participant")["fold"].nunique().eq(1).all()
        assert table["predicted"].tolist() == (table["probability"] > 0.5).astype(int).tolist()
        assert list(result.folds.columns) == tables.ATTENTION_FOLDS.names
        assert result.folds["n"].sum() == 300
        assert result.folds["n_participants"].sum() == 10


def test_the_models_find_the_signal_and_the_baseline_does_not(results: dict[str, ModelResult]) -> None:
    assert all(results[name].folds["f1_macro"].mean() > 0.7 for name in MODEL_NAMES)
    assert results[BASELINE].folds["f1_macro"].mean() < 0.45
    assert results[BASELINE].folds["roc_auc"].eq(0.5).all()


def test_scores_on_shuffled_labels_are_at_chance() -> None:
    # With few rows the selector would keep no noise at all, and say so.
    data = make_data(rows=4000)
    shuffled = dataclasses.replace(data, y=np.random.default_rng(3).permutation(data.y))
    result = cross_validate(shuffled, ["logreg"], SEQUENTIAL)["logreg"]
    assert abs(result.folds["roc_auc"].mean() - 0.5) < 0.04


def test_scaler_and_selector_never_see_the_test_rows(data: AttentionData) -> None:
    fold = split_folds(data.y, data.groups, SEQUENTIAL)[0]
    spoilt = data.X.copy()
    spoilt.loc[fold.test, "HRT#AVG#M05"] = np.float32(1e6)
    before = prepare_fold(data.X, data.y, data.groups, fold, Protocol())
    after = prepare_fold(spoilt, data.y, data.groups, fold, Protocol())
    np.testing.assert_array_equal(before.train.X, after.train.X)
    assert not np.array_equal(before.X_test, after.X_test)


def test_a_subset_gives_the_same_numbers(data: AttentionData, results: dict[str, ModelResult]) -> None:
    for models in (["voting"], ["rf", "voting"]):
        subset = cross_validate(data, models, SEQUENTIAL)
        assert sorted(subset) == sorted(models)
        pd.testing.assert_frame_equal(subset["voting"].predictions, results["voting"].predictions)


def test_rows_may_come_in_any_column_order(data: AttentionData, results: dict[str, ModelResult]) -> None:
    turned = dataclasses.replace(data, X=data.X[data.X.columns[::-1]])
    again = cross_validate(turned, ["logreg"], SEQUENTIAL)["logreg"]
    pd.testing.assert_frame_equal(again.predictions, results["logreg"].predictions)


def test_progress_counts_the_fits(data: AttentionData) -> None:
    seen = []
    cross_validate(data, ["voting", BASELINE], SEQUENTIAL, progress=lambda done, total, **_: seen.append((done, total)))
    assert seen == [(done, 20) for done in range(1, 21)]


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 15), st.integers(0, 10_000), st.integers(2, 5))
def test_folds_cover_every_row_and_share_no_participant(participants: int, seed: int, n_splits: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.array([f"P{n:02d}" for n in np.repeat(np.arange(participants), 12)])
    y = rng.integers(0, 2, len(groups))
    folds = split_folds(y, groups, CrossValidationConfig(n_splits=n_splits, seed=seed))
    assert [fold.number for fold in folds] == list(range(1, n_splits + 1))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert sorted([*fold.train, *fold.test]) == list(range(len(groups)))


def test_a_fold_of_one_class_is_an_error() -> None:
    groups = np.repeat([f"P{n}" for n in range(5)], 20)
    y = np.repeat([0, 1, 1, 1, 1], 20)
    with pytest.raises(AttentionError, match=r"the test rows of fold \d \(20\) do not hold both classes"):
        split_folds(y, groups, CrossValidationConfig())


@pytest.mark.parametrize(("participants", "positive"), [(4, 40), (10, 3)])
def test_too_few_participants_or_rows_are_an_error(participants: int, positive: int) -> None:
    groups = np.array([f"P{n % participants}" for n in range(100)])
    y = (np.arange(100) < positive).astype(int)
    with pytest.raises(AttentionError, match=f"{participants} participants and {positive} rows"):
        split_folds(y, groups, CrossValidationConfig())


@pytest.mark.parametrize(("models", "said"), [(["svm", "rf"], "unknown models: svm"), ([], "no model")])
def test_unknown_models_are_refused(data: AttentionData, models: Any, said: str) -> None:
    with pytest.raises(AttentionError, match=said):
        cross_validate(data, models, SEQUENTIAL)


def test_an_error_names_its_fold(data: AttentionData) -> None:
    constant = pd.DataFrame({"HRT#VAL": np.ones(300, "float32")})
    with pytest.raises(AttentionError, match="keeps none") as caught:
        cross_validate(dataclasses.replace(data, X=constant), ["rf"], SEQUENTIAL)
    assert caught.value.__notes__ == [
        "while fitting the scaler and selector in fold 1",
        "4 more fits failed; the other fits are finished",
    ]
