import io
import wave
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from urgency_dagster.demo.conversations import Conversation, Turn, draw_conversation
from urgency_dagster.demo.recordings import SAMPLE_RATE_HZ, record, script, wav_bytes
from urgency_dagster.demo.speech import SAMPLE_RATE_HZ as SPOKEN_RATE_HZ
from urgency_dagster.demo.wording import MASK
from urgency_dagster.tables import CALL_TAKER, CALLER


def conversation(*texts: str, urgency: str = "중", sentiment: str = "중립") -> Conversation:
    turns = tuple(Turn((CALL_TAKER, CALLER)[i % 2], text) for i, text in enumerate(texts))
    return Conversation("구급", "부상", urgency, sentiment, "F", (), turns)


def tone(seconds: float, hz: float = 1000.0) -> np.ndarray:
    time_s = np.arange(round(seconds * SPOKEN_RATE_HZ)) / SPOKEN_RATE_HZ
    return (12_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def power_at(samples: np.ndarray, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE_HZ)
    return float(spectrum[np.abs(frequencies - hz) < 5].sum() / spectrum.sum())


def recorded(*seconds: float, seed: int = 0, **options: Any) -> Any:
    talk = conversation(*["네."] * len(seconds))
    return record(np.random.default_rng(seed), talk, [tone(length) for length in seconds], **options)


def test_urgent_callers_speak_faster_and_higher_and_call_takers_do_not() -> None:
    def mean(urgency: Any, speaker: Any, attribute: Any) -> Any:
        talk = conversation("네.", "네.", urgency=urgency)
        lines = [script(np.random.default_rng(seed), talk)[speaker] for seed in range(200)]
        return np.mean([getattr(line, attribute) for line in lines])

    for attribute in ("rate_wpm", "pitch"):
        assert mean("하", CALLER, attribute) < mean("중", CALLER, attribute) < mean("상", CALLER, attribute)
        assert mean("하", CALL_TAKER, attribute) == mean("상", CALL_TAKER, attribute)


def test_flustered_callers_move_their_pitch_more_than_neutral_ones() -> None:
    calm, flustered = (
        script(np.random.default_rng(0), conversation("네.", "네.", sentiment=sentiment))[1].pitch_range
        for sentiment in ("중립", "당황/난처")
    )
    assert calm < flustered


def test_a_mask_is_spoken_as_a_word() -> None:
    (line,) = script(np.random.default_rng(0), conversation(f"가람구 {MASK}예요."))
    assert "[" not in line.text


def test_spans_are_as_long_as_the_speech_and_the_recording_holds_them() -> None:
    recording = recorded(1.0, 0.3, 2.0)
    assert [end - start for start, end in recording.spans_ms] == [1000, 300, 2000]
    assert recording.samples.dtype == np.int16
    assert recording.samples.size % (SAMPLE_RATE_HZ // 1000) == 0
    assert max(end for _, end in recording.spans_ms) <= recording.duration_ms


def test_speech_is_where_the_spans_say() -> None:
    recording = recorded(1.0, 1.0)
    (start, end), _ = recording.spans_ms
    assert power_at(recording.samples[start * 8 : end * 8], 1000) > 0.9
    assert power_at(recording.samples[: (start - 50) * 8], 1000) < 0.1


def test_turns_start_in_order_and_some_overlap() -> None:
    overlaps = 0
    for seed in range(40):
        spans = recorded(1.0, 0.3, 2.0, 1.0, seed=seed).spans_ms
        assert list(spans) == sorted(spans)
        overlaps += sum(later[0] < earlier[1] for earlier, later in pairwise(spans))
    assert 0.1 < overlaps / 120 < 0.5


def test_a_recording_that_ends_early_ends_within_its_last_turn() -> None:
    recording = recorded(1.0, 1.5, ends_early=True)
    start, end = recording.spans_ms[-1]
    assert start + 500 <= recording.duration_ms < end


def test_the_line_passes_the_telephone_band_only() -> None:
    talk = conversation("네.")
    inside, below = (
        record(np.random.default_rng(0), talk, [tone(1.0, hz)]).samples.astype(float).std() for hz in (1000, 100)
    )
    assert below < 0.2 * inside


def test_masked_words_are_beeped_over() -> None:
    samples = record(np.random.default_rng(0), conversation(f"{MASK}요."), [tone(1.5)]).samples
    assert power_at(samples, 660) > 0.05
    assert power_at(recorded(1.5).samples, 660) < 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_samples(seed: int) -> None:
    assert recorded(1.0, seed=seed).samples.tobytes() == recorded(1.0, seed=seed).samples.tobytes()
    assert recorded(1.0, seed=seed).samples.tobytes() != recorded(1.0, seed=seed + 1).samples.tobytes()


def test_a_wav_file_is_8_khz_mono_16_bit_and_holds_the_samples() -> None:
    samples = recorded(0.5).samples
    with wave.open(io.BytesIO(wav_bytes(samples))) as stream:
        assert (stream.getframerate(), stream.getnchannels(), stream.getsampwidth()) == (8000, 1, 2)
        assert np.frombuffer(stream.readframes(stream.getnframes()), "<i2").tolist() == samples.tolist()


def test_a_drawn_conversation_has_one_line_per_turn() -> None:
    talk = draw_conversation(np.random.default_rng(3), "화재", "상", "불안/걱정")
    lines = script(np.random.default_rng(3), talk)
    assert len(lines) == len(talk.turns)
    assert all(0 <= line.pitch <= 100 and 0 <= line.pitch_range <= 100 for line in lines)
