import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from urgency_dagster import tables
from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.folds import prepare_fold, split_folds
from urgency_dagster.attention.protocol import BASELINE, MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.conftest import make_data

SEQUENTIAL = CrossValidationConfig(backend="sequential")


@pytest.fixture(scope="module")
def results(data):
    return cross_validate(data, (*MODEL_NAMES, BASELINE), SEQUENTIAL)


def plain_models():
    """The protocol's models as anyone would write them."""
    logreg = LogisticRegression(l1_ratio=1, solver="liblinear", random_state=42)
    rf = RandomForestClassifier(random_state=42)
    lgbm = LGBMClassifier(
        random_state=42, learning_rate=0.03, max_depth=5, num_leaves=31, min_child_samples=10, reg_alpha=2,
        reg_lambda=2, subsample=0.8, colsample_bytree=0.8, n_estimators=100, importance_type="gain", verbosity=-1,
    )  # fmt: skip
    voting = VotingClassifier([("logreg", logreg), ("rf", rf), ("lgbm", lgbm)], voting="soft")
    return {"logreg": logreg, "rf": rf, "lgbm": lgbm, "voting": voting}


def plain_fold(X, y, train, test, model):
    """One fold by scikit-learn alone: scale numeric, order, select, fit, score."""
    categorical, numeric = sorted(X.select_dtypes("bool")), sorted(X.select_dtypes("float32"))
    scaler = StandardScaler().fit(X[numeric].iloc[train])

    def ordered(rows):
        return np.hstack([X[categorical].iloc[rows].to_numpy("float32"), scaler.transform(X[numeric].iloc[rows])])

    svc = LinearSVC(penalty="l1", dual=False, tol=1e-3, C=1e-2, max_iter=5000, random_state=42)
    selector = SelectFromModel(svc, threshold=1e-5).fit(ordered(train), y[train])
    model.fit(selector.transform(ordered(train)), y[train])
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
def test_scores_equal_a_plain_scikit_learn_loop(data, results, name):
    splits = StratifiedGroupKFold(5, shuffle=True, random_state=42).split(data.X, data.y, data.groups)
    for (train, test), (_, ours) in zip(splits, results[name].folds.iterrows(), strict=True):
        for score, expected in plain_fold(data.X, data.y, train, test, plain_models()[name]).items():
            assert ours[score] == pytest.approx(expected, abs=1e-9), score


def test_every_row_is_predicted_once_by_a_model_that_never_saw_its_participant(data, results):
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


def test_the_models_find_the_signal_and_the_baseline_does_not(results):
    assert all(results[name].folds["f1_macro"].mean() > 0.7 for name in MODEL_NAMES)
    assert results[BASELINE].folds["f1_macro"].mean() < 0.45
    assert results[BASELINE].folds["roc_auc"].eq(0.5).all()


def test_shuffled_labels_leave_nothing_to_find():
    # With few rows the selector would keep no noise at all, and say so.
    data = make_data(rows=4000)
    shuffled = dataclasses.replace(data, y=np.random.default_rng(3).permutation(data.y))
    result = cross_validate(shuffled, ["logreg"], SEQUENTIAL)["logreg"]
    assert abs(result.folds["roc_auc"].mean() - 0.5) < 0.04


def test_scaler_and_selector_never_see_the_test_rows(data):
    fold = split_folds(data.y, data.groups, SEQUENTIAL)[0]
    spoilt = data.X.copy()
    spoilt.loc[fold.test, "HRT#AVG#M05"] = np.float32(1e6)
    before = prepare_fold(data.X, data.y, data.groups, fold, Protocol())
    after = prepare_fold(spoilt, data.y, data.groups, fold, Protocol())
    np.testing.assert_array_equal(before.train.X, after.train.X)
    assert not np.array_equal(before.X_test, after.X_test)


def test_a_subset_gives_the_same_numbers(data, results):
    for models in (["voting"], ["rf", "voting"]):
        subset = cross_validate(data, models, SEQUENTIAL)
        assert sorted(subset) == sorted(models)
        pd.testing.assert_frame_equal(subset["voting"].predictions, results["voting"].predictions)


def test_rows_may_come_in_any_column_order(data, results):
    turned = dataclasses.replace(data, X=data.X[data.X.columns[::-1]])
    again = cross_validate(turned, ["logreg"], SEQUENTIAL)["logreg"]
    pd.testing.assert_frame_equal(again.predictions, results["logreg"].predictions)


def test_progress_counts_the_fits(data):
    seen = []
    cross_validate(data, ["voting", BASELINE], SEQUENTIAL, progress=lambda done, total, **_: seen.append((done, total)))
    assert seen == [(done, 20) for done in range(1, 21)]


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 15), st.integers(0, 10_000), st.integers(2, 5))
def test_folds_cover_every_row_and_share_no_participant(participants, seed, n_splits):
    rng = np.random.default_rng(seed)
    groups = np.array([f"P{n:02d}" for n in np.repeat(np.arange(participants), 12)])
    y = rng.integers(0, 2, len(groups))
    folds = split_folds(y, groups, CrossValidationConfig(n_splits=n_splits, seed=seed))
    assert [fold.number for fold in folds] == list(range(1, n_splits + 1))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert sorted([*fold.train, *fold.test]) == list(range(len(groups)))


def test_a_fold_of_one_class_is_an_error():
    groups = np.repeat([f"P{n}" for n in range(5)], 20)
    y = np.repeat([0, 1, 1, 1, 1], 20)
    with pytest.raises(AttentionError, match=r"the test rows of fold \d \(20\) do not hold both classes"):
        split_folds(y, groups, CrossValidationConfig())


@pytest.mark.parametrize(("participants", "positive"), [(4, 40), (10, 3)])
def test_too_few_participants_or_rows_are_an_error(participants, positive):
    groups = np.array([f"P{n % participants}" for n in range(100)])
    y = (np.arange(100) < positive).astype(int)
    with pytest.raises(AttentionError, match=f"{participants} participants and {positive} rows"):
        split_folds(y, groups, CrossValidationConfig())


@pytest.mark.parametrize(("models", "said"), [(["svm", "rf"], "unknown models: svm"), ([], "no model")])
def test_unknown_models_are_refused(data, models, said):
    with pytest.raises(AttentionError, match=said):
        cross_validate(data, models, SEQUENTIAL)


def test_one_fold_is_refused():
    with pytest.raises(AttentionError, match="1 folds; expected at least 2"):
        CrossValidationConfig(n_splits=1)


def test_an_error_names_its_fold(data):
    constant = pd.DataFrame({"HRT#VAL": np.ones(300, "float32")})
    with pytest.raises(AttentionError, match="keeps none") as caught:
        cross_validate(dataclasses.replace(data, X=constant), ["rf"], SEQUENTIAL)
    assert caught.value.__notes__ == ["while fitting the scaler and selector in fold 1"]
