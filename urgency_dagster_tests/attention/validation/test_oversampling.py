import numpy as np
import pytest
from imblearn.over_sampling import SMOTE, SMOTENC

from urgency_dagster.attention.validation.oversampling import synthetic_rows
from urgency_dagster.errors import AttentionError


@pytest.fixture
def skewed() -> tuple[np.ndarray, np.ndarray]:
    """60 rows of four columns, two of them 0 or 1, and 18 rows of class 1."""
    rng = np.random.default_rng(0)
    categorical, numeric = rng.integers(0, 2, (60, 2)), rng.standard_normal((60, 2))
    return np.hstack([categorical, numeric]).astype(np.float32), (np.arange(60) % 10 < 3).astype(np.int64)


def test_with_categorical_columns_it_is_smotenc(skewed: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = skewed
    new, labels = synthetic_rows(X, y, 2, seed=42)
    expected, _ = SMOTENC([0, 1], random_state=42).fit_resample(X, y)
    np.testing.assert_array_equal(np.vstack([X, new]), expected)
    assert (new.shape, new.dtype == np.float32, labels.tolist()) == ((24, 4), True, [1] * 24)
    assert set(new[:, :2].ravel()) == {0.0, 1.0}


def test_without_categorical_columns_it_is_smote(skewed: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = skewed
    new, _ = synthetic_rows(X[:, 2:], y, 0, seed=42)
    expected, _ = SMOTE(random_state=42).fit_resample(X[:, 2:], y)
    np.testing.assert_array_equal(np.vstack([X[:, 2:], new]), expected)


def test_either_class_may_be_the_rarer_one_and_equal_classes_add_no_rows(
    skewed: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = skewed
    assert synthetic_rows(X, 1 - y, 2, seed=1)[1].tolist() == [0] * 24
    new, labels = synthetic_rows(X, np.arange(60) % 2, 2, seed=1)
    assert (new.shape, labels.shape) == ((0, 4), (0,))


def test_the_seed_decides(skewed: tuple[np.ndarray, np.ndarray]) -> None:
    first, again, other = (synthetic_rows(*skewed, 2, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_that_cannot_be_oversampled_are_refused(skewed: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = skewed
    with pytest.raises(AttentionError, match="5 training rows of the rarer class cannot be oversampled"):
        synthetic_rows(X, (np.arange(60) < 5).astype(int), 2, seed=42)
    assert len(synthetic_rows(X, (np.arange(60) < 6).astype(int), 2, seed=42)[0]) == 48
    with pytest.raises(AttentionError, match="all 2 selected features are categorical"):
        synthetic_rows(X[:, :2], y, 2, seed=42)
