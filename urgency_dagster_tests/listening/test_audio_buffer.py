"""A buffer cuts what the whole recording would give, and forgets what is no longer needed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.audio import cut
from urgency_dagster.listening.audio_buffer import AudioBuffer

times = st.integers(0, 700)


@given(st.lists(st.integers(0, 4000), max_size=6), times, times, times)
def test_a_cut_is_that_of_the_whole_recording(sizes: list[int], forgotten: int, start: int, length: int) -> None:
    waveform = np.arange(sum(sizes), dtype=np.float32)
    audio = AudioBuffer()
    blocks = np.split(waveform, np.cumsum(sizes)[:-1]) if sizes else []
    for block in blocks:
        audio.add(block)
    audio.forget(forgotten)
    start_ms = max(start, forgotten)
    np.testing.assert_array_equal(audio.cut(start_ms, start_ms + length), cut(waveform, start_ms, start_ms + length))
    assert audio.duration_ms == len(waveform) // 16


def test_a_block_is_forgotten_after_its_end() -> None:
    audio = AudioBuffer()
    for _ in range(3):
        audio.add(np.zeros(1600, np.float32))
    audio.forget(199)
    assert len(audio._blocks) == 2
    audio.forget(200)
    assert len(audio._blocks) == 1
    assert (audio.kept_from_ms, audio.duration_ms) == (200, 300)
