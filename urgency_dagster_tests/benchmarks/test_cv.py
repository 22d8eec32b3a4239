import pytest

from benchmarks.cv import (
    COMPARED,
    SCORES,
    CvSize,
    compare_cross_validation,
    draw_data,
    largest_difference,
    original_job,
    own_scores,
    scaled_in_fold,
)
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.folds import split_folds
from urgency_dagster.attention.validation.protocol import CrossValidationConfig
from urgency_dagster.errors import BenchmarkError

SMALL = CvSize(samples=300, categorical=10, numeric=30, factors=10, signal=1.0, models=("logreg", "voting"), runs=1)


@pytest.mark.slow
def test_the_benchmark_runs_on_ray_and_both_sides_agree() -> None:
    comparison = compare_cross_validation(SMALL)
    assert (comparison.name, comparison.unit) == ("cv", "seconds")
    assert comparison.ratio == comparison.reference.median / comparison.ours.median
    assert comparison.details["largest_difference"] <= 1e-9
    assert comparison.details["models"] == ["logreg", "voting"]
    assert len(comparison.details["features_selected"]) == 5


def test_the_reference_gives_the_same_scores() -> None:
    data, config = draw_data(SMALL), CrossValidationConfig(backend="sequential")
    ours = own_scores(cross_validate(data, COMPARED, config))
    fold = split_folds(data.y, data.groups, config)[1]
    for model in COMPARED:
        scores = original_job(data.X, data.y, data.groups, fold.train, fold.test, model, config.seed)
        assert scores == pytest.approx(ours[model, 2], abs=1e-12)


def test_the_default_data_have_the_real_shape() -> None:
    data = draw_data(CvSize())
    assert data.X.shape == (2619, 3356)
    assert sorted({str(dtype) for dtype in data.X.dtypes}) == ["bool", "float32"]
    assert data.participants == 47
    assert set(data.y) == {0, 1}


@pytest.mark.parametrize("model", ["rf", "xgb"])
def test_scores_that_differ_cannot_be_compared(model: str) -> None:
    ours = {(model, 1): dict.fromkeys(SCORES, 0.5)}
    other = {(model, 1): {**ours[model, 1], "f1_macro": 0.5 + 1e-6}}
    assert largest_difference(ours, ours) == 0
    if model == "xgb":  # the two sides fit it differently on purpose
        assert largest_difference(ours, other) == 0
        return
    with pytest.raises(BenchmarkError, match="scores of the two sides differ"):
        largest_difference(ours, other)


def test_the_original_scaling_is_fitted_on_training_rows_and_leaves_bool_columns() -> None:
    X = draw_data(SMALL).X
    train, test = scaled_in_fold(X.iloc[:200], X.iloc[200:])
    assert (train.shape, test.shape) == ((200, 40), (100, 40))
    assert train[:, 10:].mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert train[:, 10:].std(axis=0) == pytest.approx(1, abs=1e-5)
    assert abs(test[:, 10:].mean(axis=0)).max() > 1e-3
    expected = X[sorted(X.columns[:10])].to_numpy(float)
    assert (train[:, :10] == expected[:200]).all()
