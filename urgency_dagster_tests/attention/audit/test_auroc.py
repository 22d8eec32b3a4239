from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from urgency_dagster.attention.audit.auroc import interval, overall_auroc, within_participants


def drawn(seed: int, rows: int = 60, columns: int = 4, levels: int = 5) -> Any:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, levels, (rows, columns)).astype("float32")
    y = rng.integers(0, 2, rows)
    y[:2] = 0, 1
    return X, y, np.sort(rng.choice(["A", "B", "C"], rows))


def plain_within(column: Any, y: np.ndarray, groups: np.ndarray) -> Any:
    """The share of ordered pairs, written as it is defined."""
    ordered, pairs = 0.0, 0
    for i in range(len(y)):
        for j in range(len(y)):
            if groups[i] == groups[j] and y[i] == 1 and y[j] == 0:
                ordered += 1.0 if column[i] > column[j] else 0.5 if column[i] == column[j] else 0.0
                pairs += 1
    return ordered / pairs


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_auroc_equals_scikit_learn_and_its_definition(seed: int) -> None:
    X, y, groups = drawn(seed)
    overall, within = overall_auroc(X, y), within_participants(X, y, groups).auroc
    for k in range(X.shape[1]):
        assert overall[k] == pytest.approx(roc_auc_score(y, X[:, k]))
        assert within[k] == pytest.approx(plain_within(X[:, k], y, groups))


def test_differences_between_participants_do_not_change_the_auroc_within() -> None:
    X, y, groups = drawn(1)
    shifted = X + 100 * (groups == "B")[:, None]
    np.testing.assert_array_equal(
        within_participants(X, y, groups).auroc, within_participants(shifted, y, groups).auroc
    )


def test_participants_with_one_label_have_no_pairs() -> None:
    X, y, groups = drawn(1)
    y[groups != "A"] = 1
    pairs = within_participants(X, y, groups)
    assert pairs.pairs[1:].tolist() == [0, 0]
    assert pairs.ordered[1:].sum() == 0
    assert np.isnan(within_participants(X, np.ones_like(y), groups).auroc).all()


def test_the_interval_holds_the_truth_and_narrows_with_participants() -> None:
    widths = []
    for participants in (20, 200):
        rng = np.random.default_rng(0)
        groups = np.repeat([f"P{n:03d}" for n in range(participants)], 20)
        y = rng.integers(0, 2, len(groups))
        low, high = interval(within_participants(rng.normal(size=(len(y), 1)), y, groups).resampled()[:, 0])
        assert low < 0.5 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_same_seed_gives_the_same_interval() -> None:
    X, y, groups = drawn(4)
    pairs = within_participants(X, y, groups)
    np.testing.assert_array_equal(pairs.resampled(), pairs.resampled())
    assert not np.array_equal(pairs.resampled(), pairs.resampled(seed=1))
