from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.embed import (
    UTTERANCES_PER_CALL,
    EmbeddingStep,
    EmbedSize,
    SpeechShape,
    check_verified,
    compare_embedding,
    kept_lengths_s,
    model_gflop,
    write_calls,
)
from urgency_dagster.calls.embedding.verification import MAX_DIFFERENCE, MIN_COSINE, Verification
from urgency_dagster.errors import BenchmarkError

TINY = SpeechShape(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16,) * 7)
SIZE = EmbedSize(calls=2, original=4, shape=TINY, runs=2, float32_runs=1, few=60, many=120)


@pytest.mark.slow
def test_the_benchmark_runs_and_tells_what_it_found() -> None:
    comparison = compare_embedding(SIZE)
    assert (comparison.name, comparison.unit) == ("embed", "x real time")
    assert (comparison.ours.runs, comparison.reference.runs) == (2, 2)
    details = comparison.details
    assert details["utterances"] == {"ours": 2 * UTTERANCES_PER_CALL, "reference": 4}
    exact, chosen = details["float32"], details["chosen"]
    assert exact["verification"]["max_difference"] <= MAX_DIFFERENCE
    assert chosen["precision"] == "float32" or chosen["verification"]["min_cosine"] >= MIN_COSINE
    assert chosen["ratio"] == pytest.approx(comparison.ratio)
    for side in (chosen, exact):
        expected = details["gflop_per_audio_s"] * side["x_real_time"]["median"] / side["gemm_peak_gflop_per_s"]
        assert side["share_of_peak"] == pytest.approx(expected)
    few, many = (value for name, value in details["memory"].items() if name.startswith("embed_") and "_mb" in name)
    assert 50 < few < 2000
    assert details["memory"]["embed_ratio"] == pytest.approx(many / few, abs=0.01)
    assert details["decoding"]["one_process_x_real_time"] > 100
    prosody = details["prosody"]
    assert 0 < prosody["processor_s_per_audio_s"] < 0.1
    expected = prosody["processor_s_per_audio_s"] / prosody["embedding_processor_s_per_audio_s"]
    assert prosody["share_of_embedding"] == pytest.approx(expected)
    assert details["memory"]["prosody_ratio"] > 0


@pytest.mark.slow
def test_a_step_that_is_timed_starts_from_nothing(tmp_path: Path) -> None:
    step = EmbeddingStep.on_new_archive(tmp_path, SIZE)
    ready = step.prepared("float32")
    assert [step.run(ready).counts.computed for _ in range(2)] == [2 * UTTERANCES_PER_CALL] * 2
    assert step.audio_s == pytest.approx(sum(kept_lengths_s(2 * UTTERANCES_PER_CALL)), rel=1e-3)


def test_vectors_that_are_others_cannot_be_compared() -> None:
    check_verified(Verification(32, "float32", 1e-6, 1.0, passed=True))
    with pytest.raises(
        BenchmarkError, match=r"the vectors differ from the reference .*expected max_difference at most 0\.0001"
    ):
        check_verified(Verification(32, "float32", 0.1, 0.9, passed=False))


def test_the_calls_hold_all_lengths_one_after_the_other(tmp_path: Path) -> None:
    lengths = kept_lengths_s(2 * UTTERANCES_PER_CALL)
    recordings = write_calls(tmp_path, lengths)
    spoken = [(end - start) / 1000 for recording in recordings for start, end in recording.times_ms]
    assert sorted(spoken) == pytest.approx(lengths, abs=1e-3)
    for recording in recordings:
        assert len(recording.times_ms) == UTTERANCES_PER_CALL
        assert soundfile.info(recording.path).duration * 1000 >= recording.times_ms[-1][1]


def test_the_lengths_are_those_of_the_data_set() -> None:
    lengths = np.array(kept_lengths_s(20_000))
    assert lengths.min() == pytest.approx(0.5, abs=1e-3)
    # Of all utterances 7.5 % are shorter than 0.5 s and are not kept; the shares are of what is left.
    assert (lengths > 1.43).mean() == pytest.approx(0.5 / 0.925, abs=1e-3)
    assert (lengths > 5.42).mean() == pytest.approx(0.05 / 0.925, abs=1e-3)


def test_the_arithmetic_is_that_of_the_full_size_encoder() -> None:
    assert model_gflop(SpeechShape(), [np.zeros(16_000, np.float32)]) == pytest.approx(36, rel=0.05)


def test_the_arithmetic_of_segments_adds_up() -> None:
    one, other = np.zeros(16_000, np.float32), np.zeros(24_000, np.float32)
    together = model_gflop(TINY, [one, other])
    assert together == pytest.approx(model_gflop(TINY, [one]) + model_gflop(TINY, [other]))
