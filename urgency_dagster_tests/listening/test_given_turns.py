"""Turns that are given are cut out of a recording in blocks as out of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster import calls
from urgency_dagster.errors import InputError
from urgency_dagster.listening import Turn, TurnAudio
from urgency_dagster.listening.audio_buffer import AudioBuffer
from urgency_dagster.listening.given_turns import ArrivingTurns, cut_turns, turn_reject

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


KEPT_MS = 1000
pieces_ms = st.lists(st.integers(1, 900), min_size=1, max_size=20)


@given(turns=st.lists(times, max_size=12), pieces=pieces_ms, data=st.data())
def test_turns_that_arrive_with_the_recording_are_cut_as_from_the_whole(
    turns: list[Turn], pieces: list[int], data: st.DataObject
) -> None:
    audio = AudioBuffer()
    arriving, refused = ArrivingTurns(audio, KEPT_MS), list[Turn]()
    cuts: list[TurnAudio] = []
    waveform = np.arange(sum(pieces) * 16, dtype=np.float32)
    waiting = data.draw(st.permutations(turns))
    for end_ms, piece_ms in zip(np.cumsum(pieces), pieces, strict=True):
        for _ in range(data.draw(st.integers(0, 2)) if waiting else 0):
            if waiting:
                turn = waiting.pop()
                try:
                    arriving.expect(turn)
                except InputError:
                    refused.append(turn)
        cuts += arriving.arrived()
        cuts += arriving.add(waveform[(end_ms - piece_ms) * 16 : end_ms * 16])
        assert all(end_ms < turn.end_ms for turn in arriving._waiting)
        assert audio.samples - audio._start <= (KEPT_MS + max(pieces)) * 16
    cuts += arriving.finish()
    heard = [turn for turn, _ in cuts]
    parts = [*heard, *refused, *(turn for turn, _ in arriving.rejected), *waiting]
    assert sorted(parts, key=str) == sorted(turns, key=str)
    assert all(turn_reject(turn, audio.duration_ms) is None for turn in heard)
    for turn, samples in cuts:
        np.testing.assert_array_equal(samples, calls.cut(waveform, turn.start_ms, turn.end_ms))


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "message"),
    [(-1, 900, "bad_times"), (0, 499, "too_short"), (0, KEPT_MS + 1, "too long"), (1500, 2100, "too late")],
)
def test_a_turn_that_cannot_be_cut_is_refused(start_ms: int, end_ms: int, message: str) -> None:
    arriving = ArrivingTurns(AudioBuffer(), KEPT_MS)
    for _ in range(6):
        assert not list(arriving.add(np.zeros(8000, np.float32)))
    with pytest.raises(InputError, match=message):
        arriving.expect(Turn(start_ms, end_ms, "네"))
    assert not arriving.waiting


def test_a_short_turn_does_not_wait_for_a_long_one_before_it() -> None:
    arriving = ArrivingTurns(AudioBuffer(), 60_000)
    for turn in (Turn(0, 9000), Turn(500, 1500), Turn(3000, 4000)):
        arriving.expect(turn)
    assert [turn for turn, _ in arriving.add(np.zeros(32_000, np.float32))] == [Turn(500, 1500)]
    assert list(arriving.started_ms) == [0]
    assert [(turn, len(samples)) for turn, samples in arriving.commit()] == [(Turn(0, 9000), 32_000)]
    assert not list(arriving.finish())
    assert arriving.rejected == [(Turn(3000, 4000), "outside_audio")]
