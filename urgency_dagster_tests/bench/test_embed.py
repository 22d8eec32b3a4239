import numpy as np
import pytest

from urgency_dagster.bench.embed import (
    TOLERANCE,
    EmbedSize,
    SpeechShape,
    compare_embedding,
    gemm_peak_gflops,
    kept_lengths_s,
    largest_difference,
    lengths_by_spot_s,
    model_gflop,
)
from urgency_dagster.errors import BenchmarkError

TINY = SpeechShape(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)


@pytest.fixture(autouse=True)
def no_progress_bars():
    from transformers.utils import logging

    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def test_the_benchmark_runs_and_both_ways_agree():
    comparison = compare_embedding(EmbedSize(audio_s=12.0, spots=2, shape=TINY, runs=2))
    assert (comparison.name, comparison.unit) == ("embed", "x real time")
    assert (comparison.ours.runs, comparison.reference.runs) == (2, 2)
    details = comparison.details
    assert details["audio_s"] == pytest.approx(12, abs=4)
    assert 0 <= details["largest_difference"] <= TOLERANCE
    for side in ("ours", "reference"):
        speed = getattr(comparison, side).median
        expected = details["gflop_per_audio_s"] * speed / details["gemm_peak_gflop_per_s"]
        assert details["share_of_peak"][side] == pytest.approx(expected)


def test_the_lengths_are_those_of_the_data_set():
    lengths = np.array(kept_lengths_s(20_000))
    assert lengths.min() == pytest.approx(0.5, abs=1e-3)
    # Of all utterances 7.5 % are shorter than 0.5 s and are not kept; the shares are of what is left.
    assert (lengths > 1.43).mean() == pytest.approx(0.5 / 0.925, abs=1e-3)
    assert (lengths > 5.42).mean() == pytest.approx(0.05 / 0.925, abs=1e-3)


def test_the_segments_of_a_spot_are_neighbours_and_the_spots_are_not():
    short, long = lengths_by_spot_s(audio_s=60, spots=2)
    for spot in (short, long):
        assert sum(spot) == pytest.approx(30, abs=5)
        assert max(spot) < 1.1 * min(spot)
    assert max(short) < 0.5 * min(long)


def test_the_arithmetic_is_that_of_the_full_size_encoder():
    assert model_gflop(SpeechShape(), [np.zeros(16_000, np.float32)]) == pytest.approx(36, rel=0.05)


def test_the_arithmetic_of_segments_adds_up():
    one, other = np.zeros(16_000, np.float32), np.zeros(24_000, np.float32)
    together = model_gflop(TINY, [one, other])
    assert together == pytest.approx(model_gflop(TINY, [one]) + model_gflop(TINY, [other]))


def test_the_peak_is_a_rate_of_arithmetic():
    # No core does less than 10 MFLOP/s or more than 10 TFLOP/s.
    assert 0.01 < gemm_peak_gflops("cpu", size=128, runs=2) < 10_000


@pytest.mark.parametrize("wrong", [2 * TOLERANCE, np.nan])
def test_vectors_that_differ_cannot_be_compared(wrong):
    ours, reference = [np.zeros((2, 3)), np.zeros((1, 3))], np.zeros((3, 3))
    assert largest_difference(ours, reference) == 0
    reference[2, 1] = wrong
    with pytest.raises(BenchmarkError, match="vectors that differ"):
        largest_difference(ours, reference)
