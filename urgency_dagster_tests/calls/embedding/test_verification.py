import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.embedding.verification import (
    MAX_DIFFERENCE,
    MIN_COSINE,
    MIN_UTTERANCES_FOR_COSINE,
    sample_rows,
    verify,
)

RNG = np.random.default_rng(0)
MEAN = RNG.normal(0, 10, 64).astype(np.float32)
REFERENCE = MEAN + RNG.normal(0, 1, (16, 64)).astype(np.float32)


def changed(by: float, row: int = 3) -> np.ndarray:
    """The reference with one element of one row changed."""
    vectors = REFERENCE.copy()
    vectors[row, 5] += by
    return vectors


class TestFloat32:
    def test_the_same_vectors_pass(self) -> None:
        verification = verify(REFERENCE, REFERENCE, "float32")
        assert (verification.passed, verification.utterances, verification.max_difference) == (True, 16, 0.0)
        assert verification.min_cosine == pytest.approx(1)

    @pytest.mark.parametrize(("by", "passed"), [(0.5 * MAX_DIFFERENCE, True), (2 * MAX_DIFFERENCE, False)])
    def test_one_element_of_one_vector_decides(self, by: float, passed: bool) -> None:
        verification = verify(changed(by), REFERENCE, "float32")
        assert verification.passed is passed
        assert verification.max_difference == pytest.approx(by, rel=0.1)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_what_is_no_number_fails(self, value: float, precision: str) -> None:
        verification = verify(changed(value), REFERENCE, precision)
        assert (verification.passed, verification.max_difference, verification.min_cosine) == (False, None, None)

    def test_a_sample_of_nothing_proves_nothing_and_breaks_nothing(self) -> None:
        assert verify(REFERENCE[:0], REFERENCE[:0], "float32").passed

    def test_one_utterance_is_enough(self) -> None:
        assert verify(REFERENCE[:1], REFERENCE[:1], "float32").passed
        assert not verify(changed(1.0)[3:4], REFERENCE[3:4], "float32").passed


class TestReducedPrecision:
    def test_small_noise_passes(self) -> None:
        noise = RNG.normal(0, 0.01, REFERENCE.shape).astype(np.float32)
        verification = verify(REFERENCE + noise, REFERENCE, "bfloat16")
        assert verification.passed
        assert verification.min_cosine is not None
        assert verification.max_difference is not None
        assert MIN_COSINE < verification.min_cosine < 1
        assert verification.max_difference > MAX_DIFFERENCE

    def test_the_mean_vector_does_not_hide_wrong_vectors(self) -> None:
        wrong = MEAN + RNG.normal(0, 1, REFERENCE.shape).astype(np.float32)
        raw = np.sum(wrong * REFERENCE, axis=1) / np.linalg.norm(wrong, axis=1) / np.linalg.norm(REFERENCE, axis=1)
        assert raw.min() > 0.95
        assert not verify(wrong, REFERENCE, "bfloat16").passed

    def test_one_wrong_vector_is_enough_to_fail(self) -> None:
        vectors = REFERENCE.copy()
        vectors[7] = vectors[8]
        assert not verify(vectors, REFERENCE, "float16").passed

    @pytest.mark.parametrize(("cosine", "passed"), [(MIN_COSINE + 1e-4, True), (MIN_COSINE - 1e-4, False)])
    def test_the_cosine_of_the_worst_vector_decides(self, cosine: float, passed: bool) -> None:
        """Pairs of opposite vectors have the mean 0, so that centring changes no angle."""
        reference = np.vstack([np.eye(16), -np.eye(16)]).astype(np.float32)
        turned = reference.copy()
        for row, sign in ((0, 1), (16, -1)):
            turned[row, :2] = sign * cosine, sign * np.sqrt(1 - cosine**2)
        assert verify(turned, reference, "bfloat16").passed is passed

    def test_swapped_rows_fail(self) -> None:
        assert not verify(REFERENCE[::-1], REFERENCE, "bfloat16").passed

    def test_a_sample_too_small_for_a_mean_does_not_pass(self) -> None:
        few = REFERENCE[: MIN_UTTERANCES_FOR_COSINE - 1]
        assert not verify(few, few, "bfloat16").passed
        assert verify(REFERENCE[:MIN_UTTERANCES_FOR_COSINE], REFERENCE[:MIN_UTTERANCES_FOR_COSINE], "bfloat16").passed

    def test_vectors_that_are_all_the_same_do_not_pass(self) -> None:
        same = np.tile(MEAN, (16, 1))
        assert not verify(same, same, "bfloat16").passed
        assert verify(same, same, "float32").passed

    def test_the_bound_is_told(self) -> None:
        assert verify(REFERENCE, REFERENCE, "float32").bound == "max_difference at most 0.0001"
        assert verify(REFERENCE, REFERENCE, "bfloat16").bound == "min_cosine at least 0.995"


class TestSample:
    @given(rows=st.integers(0, 500), size=st.integers(0, 60), seed=st.integers(0, 2**32))
    def test_rows_are_drawn_once_in_order_and_always_the_same(self, rows: int, size: int, seed: int) -> None:
        drawn = sample_rows(rows, size, seed)
        assert drawn == sorted(set(drawn)) == sample_rows(rows, size, seed)
        assert len(drawn) == min(size, rows)
        assert all(0 <= row < rows for row in drawn)

    def test_another_seed_draws_others(self) -> None:
        assert sample_rows(1000, 32, 1) != sample_rows(1000, 32, 2)
