import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.calibration import (
    bin_indices,
    calibration_with_intervals,
    fit_temperature,
    probabilities,
    reliability,
)


def drawn(rows: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large for the classes drawn from them."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (rows, 3))
    true = np.array([rng.choice(3, p=row) for row in softmax(honest, axis=1)])
    return (honest * temperature).astype(np.float32), true


def test_probabilities_are_the_softmax_of_the_scaled_logits() -> None:
    logits = np.array([[1, 2, 3], [900, -900, 0]], np.float32)
    np.testing.assert_allclose(probabilities(logits, 2.0), softmax(logits.astype(float) / 2, axis=1))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(temperature: float) -> None:
    assert fit_temperature(*drawn(4000, temperature)) == pytest.approx(temperature, rel=0.1)


def test_without_rows_the_temperature_is_one() -> None:
    assert fit_temperature(np.empty((0, 3), np.float32), np.empty(0, np.int64)) == 1.0


def test_always_correct_or_wrong_predictions_have_a_finite_temperature() -> None:
    logits = np.eye(3, dtype=np.float32)
    for true in (np.arange(3), (np.arange(3) + 1) % 3):
        assert 0.04 < fit_temperature(logits, true) < 21


@given(rows=st.integers(1, 200), seed=st.integers(0, 20), scale=st.floats(0.1, 5))
def test_right_predictions_support_no_certainty(rows: int, seed: int, scale: float) -> None:
    """The likelihood alone would take the lowest temperature: every right row near a probability of 1."""
    logits = drawn(rows, scale, seed)[0]
    temperature = fit_temperature(logits, logits.argmax(axis=1))
    confidence = probabilities(logits, temperature).max(axis=1).mean()
    assert confidence == pytest.approx((rows + 1) / (rows + 2)) or temperature == pytest.approx(np.exp(-3))
    assert confidence <= (rows + 1) / (rows + 2) + 1e-6


def test_one_wrong_row_has_the_temperature_of_the_likelihood() -> None:
    logits, _ = drawn(200, 1.0)
    true = logits.argmax(axis=1)
    true[0] = (true[0] + 1) % 3

    def loss(temperature: float) -> float:
        return float(log_loss(true, probabilities(logits, temperature), labels=range(3)))

    fitted = fit_temperature(logits, true)
    assert all(loss(fitted) < loss(other * fitted) for other in (0.9, 1.1))


@given(temperature=st.floats(0.05, 20), seed=st.integers(0, 20))
def test_a_temperature_changes_no_prediction(temperature: float, seed: int) -> None:
    logits, _ = drawn(30, 1.0, seed)
    assert probabilities(logits, temperature).argmax(axis=1).tolist() == logits.argmax(axis=1).tolist()


class TestReliability:
    def test_the_error_is_the_mean_distance_of_confidence_and_accuracy(self) -> None:
        of_classes = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
        found = reliability(of_classes, np.array([0, 1, 0, 1]), bins=2)
        assert (found.confidence.tolist(), found.accuracy.tolist(), found.counts.tolist()) == ([0.75], [0.75], [4])
        finer = reliability(of_classes, np.array([0, 1, 0, 1]), bins=10)
        assert finer.counts.tolist() == [2, 2]
        assert finer.error == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)

    def test_the_error_falls_with_the_fitted_temperature(self) -> None:
        logits, true = drawn(4000, 3.0)
        before, after = (reliability(probabilities(logits, t), true) for t in (1.0, fit_temperature(logits, true)))
        assert before.error > 0.1
        assert after.error < 0.03

    def test_a_confidence_of_one_is_in_the_last_bin(self) -> None:
        assert reliability(np.array([[1.0, 0.0]]), np.array([0])).counts.tolist() == [1]


def test_the_probability_1_is_in_the_last_bin() -> None:
    assert bin_indices(np.array([0.0, 0.5, 0.999, 1.0]), 10).tolist() == [0, 5, 9, 9]


class TestIntervals:
    def test_error_and_loss_are_those_of_all_rows(self) -> None:
        logits, true = drawn(300, 2.0)
        of_classes, groups = probabilities(logits), np.arange(300) // 3
        found = calibration_with_intervals(of_classes, true, groups, BootstrapConfig(200, 0))
        assert found["ece"] == pytest.approx(reliability(of_classes, true).error)
        assert found["nll"] == pytest.approx(log_loss(true, of_classes, labels=range(3)))
        low, high = found["nll_interval"]
        assert low < found["nll"] < high

    def test_a_sample_counts_whole_groups(self) -> None:
        """The samples of copies of each row in one group are those of the rows alone."""
        logits, true = drawn(40, 2.0)
        once = calibration_with_intervals(probabilities(logits), true, np.arange(40), BootstrapConfig(50, 1))
        copies = np.repeat(np.arange(40), 5)
        again = calibration_with_intervals(probabilities(logits)[copies], true[copies], copies, BootstrapConfig(50, 1))
        for name in ("ece", "nll", "ece_interval", "nll_interval"):
            assert again[name] == pytest.approx(once[name])
