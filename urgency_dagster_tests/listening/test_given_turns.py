"""Turns that are given are cut out of a recording in blocks as out of the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster import calls
from urgency_dagster.listening import Turn
from urgency_dagster.listening.audio_buffer import AudioBuffer
from urgency_dagster.listening.given_turns import cut_turns, turn_reject

DURATION_MS = 4000

times = st.tuples(st.integers(-100, 5000), st.integers(-100, 3000)).map(lambda pair: Turn(pair[0], sum(pair)))


@given(turns=st.lists(times, max_size=12), block=st.integers(1000, 70_000))
def test_the_audio_is_that_of_the_whole_recording(turns: list[Turn], block: int) -> None:
    waveform = np.arange(DURATION_MS * 16, dtype=np.float32)
    blocks = (waveform[start : start + block] for start in range(0, len(waveform), block))
    cuts = list(cut_turns(AudioBuffer(), blocks, turns))
    kept = sorted((turn for turn in turns if turn_reject(turn, DURATION_MS) is None), key=lambda turn: turn.start_ms)
    assert [turn for turn, _ in cuts] == kept
    for turn, samples in cuts:
        np.testing.assert_array_equal(samples, calls.cut(waveform, turn.start_ms, turn.end_ms))


def test_a_turn_comes_as_soon_as_the_recording_has_reached_its_end() -> None:
    audio = AudioBuffer()
    seconds = (np.zeros(16_000, np.float32) for _ in range(10))
    heard = [(turn.end_ms, audio.duration_ms) for turn, _ in cut_turns(audio, seconds, [Turn(500, 1500), Turn(0, 900)])]
    assert heard == [(900, 1000), (1500, 2000)]
    assert len(audio._blocks) == 0
