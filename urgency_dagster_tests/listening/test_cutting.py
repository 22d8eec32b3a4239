"""The segments of a recording: within bounds, in order, at pauses, the same however the recording arrives."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.listening import TurnAudio
from urgency_dagster.listening.audio_buffer import AudioBuffer
from urgency_dagster.listening.cutting import (
    MAX_SEGMENT_MS,
    MAX_WINDOWS,
    MIN_PAUSE_MS,
    MIN_SEGMENT_MS,
    MIN_SPEECH_MS,
    PAUSE_PROBABILITY,
    SPEECH_PROBABILITY,
    SPLIT_WINDOWS,
    Cutter,
    FoundTurns,
    cut_at_pauses,
)
from urgency_dagster.listening.voice_activity import WINDOW_MS, Window
from urgency_dagster_tests.listening.syllables import RATE, silence, syllables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Waveform = NDArray[np.float32]

SPEECH, QUIET = 0.9, 0.1


def intervals(windows: list[Window], duration_ms: int | None = None) -> list[tuple[int, int]]:
    """The segments of some windows in ms."""
    cutter = Cutter()
    found = [cutter.add(window) for window in windows]
    found.append(cutter.finish(len(windows) * WINDOW_MS if duration_ms is None else duration_ms))
    return [interval for interval in found if interval]


def windows(*runs: tuple[float, int], level: float = 0.1) -> list[Window]:
    """Windows of one probability after another, each with its number of windows."""
    return [Window(probability, level) for probability, count in runs for _ in range(count)]


def segments(waveform: "Waveform") -> list[tuple[int, int]]:
    return [(turn.start_ms, turn.end_ms) for turn, _ in cut_at_pauses(AudioBuffer(), [waveform])]


runs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.34, 0.36, 0.4, 0.49, 0.5, 0.7, 1.0]), st.integers(1, 400)), max_size=8
)


@given(runs, st.integers(0, WINDOW_MS - 1), st.integers(0, 2**32))
def test_segments_are_ordered_disjoint_within_the_recording_and_within_bounds(
    drawn: list[tuple[float, int]], missing_ms: int, seed: int
) -> None:
    levels = np.random.default_rng(seed)
    judged = [window._replace(level=levels.random()) for window in windows(*drawn)]
    duration_ms = max(len(judged) * WINDOW_MS - missing_ms, 0)
    found = intervals(judged, duration_ms)
    times = [time for interval in found for time in interval]
    assert times == sorted(times)
    assert all(start_ms >= 0 and end_ms <= duration_ms for start_ms, end_ms in found)
    assert all(MIN_SEGMENT_MS <= end_ms - start_ms <= MAX_SEGMENT_MS for start_ms, end_ms in found)


@given(runs)
def test_long_speech_is_lost_at_the_end_of_the_recording_only(drawn: list[tuple[float, int]]) -> None:
    judged = windows(*drawn)
    heard = np.zeros(len(judged) * WINDOW_MS, bool)
    for start_ms, end_ms in intervals(judged):
        heard[start_ms:end_ms] = True
    start = 0
    for probability, count in drawn:
        end = start + count
        is_long = count * WINDOW_MS >= MIN_SPEECH_MS and end * WINDOW_MS <= len(heard) - MIN_SEGMENT_MS
        if probability >= SPEECH_PROBABILITY and is_long:
            assert heard[start * WINDOW_MS : end * WINDOW_MS].all()
        start = end


@given(runs)
def test_every_segment_holds_more_than_silence(drawn: list[tuple[float, int]]) -> None:
    judged = windows(*drawn)
    is_speech = np.repeat([window.probability >= PAUSE_PROBABILITY for window in judged], WINDOW_MS)
    for start_ms, end_ms in intervals(judged):
        assert is_speech[start_ms:end_ms].any()


def test_a_segment_has_a_margin_around_its_speech() -> None:
    found = intervals(windows((QUIET, 100), (SPEECH, 50), (QUIET, 100), (SPEECH, 50), (QUIET, 100)))
    assert found == [(99 * 32, 151 * 32), (249 * 32, 301 * 32)]


@pytest.mark.parametrize(("pause", "count"), [(3, 1), (4, 2)])
def test_a_pause_of_100_ms_separates(pause: int, count: int) -> None:
    assert len(intervals(windows((SPEECH, 50), (QUIET, pause), (SPEECH, 50)))) == count
    assert (pause * WINDOW_MS >= MIN_PAUSE_MS) == (count == 2)


def test_a_doubtful_window_neither_begins_nor_ends_speech() -> None:
    assert intervals(windows((0.49, 100))) == []
    assert intervals(windows((SPEECH, 20), (0.36, 40), (SPEECH, 20))) == [(0, 80 * 32)]


@pytest.mark.parametrize(("speech", "found"), [(7, []), (8, [(100 * 32 + 8 * 32 + 32 - 500, 100 * 32 + 8 * 32 + 32)])])
def test_a_click_is_no_segment_and_a_short_word_gets_silence(speech: int, found: list[tuple[int, int]]) -> None:
    assert intervals(windows((QUIET, 100), (SPEECH, speech), (QUIET, 100))) == found


def test_a_short_word_at_the_start_gets_the_silence_after_it() -> None:
    assert intervals(windows((SPEECH, 9), (QUIET, 100))) == [(0, 500)]


def test_a_short_word_right_after_a_segment_waits_for_its_minimum() -> None:
    found = intervals(windows((SPEECH, 40), (QUIET, 4), (SPEECH, 8), (QUIET, 3), (QUIET, 60)))
    assert found == [(0, 41 * 32), (41 * 32, 41 * 32 + 500)]


def test_a_recording_shorter_than_a_segment_has_none() -> None:
    assert intervals(windows((SPEECH, 16)), 499) == []
    assert intervals(windows((SPEECH, 16)), 500) == [(0, 500)]


def test_long_speech_is_split_at_its_longest_pause() -> None:
    found = intervals(
        windows((SPEECH, 170), (QUIET, 1), (SPEECH, 30), (QUIET, 3), (SPEECH, 20), (QUIET, 2), (SPEECH, 200))
    )
    assert found[0] == (0, (170 + 1 + 30 + 1) * 32)
    assert found[1][0] == found[0][1]


def test_long_speech_without_a_pause_is_split_where_it_is_quietest() -> None:
    judged = windows((SPEECH, MAX_WINDOWS))
    judged[SPLIT_WINDOWS[3]] = Window(SPEECH, 0.01)
    judged[SPLIT_WINDOWS[9]] = Window(SPEECH, 0.01)
    judged[10] = Window(SPEECH, 0.001)
    assert intervals(judged) == [(0, SPLIT_WINDOWS[3] * 32), (SPLIT_WINDOWS[3] * 32, MAX_WINDOWS * 32)]


def test_the_end_of_a_word_after_a_split_is_kept() -> None:
    judged = windows((SPEECH, MAX_WINDOWS), (QUIET, 100))
    judged[SPLIT_WINDOWS[-1]] = Window(SPEECH, 0.01)
    assert intervals(judged)[-1] == (SPLIT_WINDOWS[-1] * 32, (MAX_WINDOWS + 1) * 32)


def test_spoken_segments_have_the_samples_of_their_times() -> None:
    waveform = np.concatenate([silence(1000), syllables(2000), silence(1000), syllables(3000, seed=1), silence(500)])
    found = list(cut_at_pauses(AudioBuffer(), [waveform]))
    assert len(found) == 2
    for (turn, samples), start_ms, end_ms in zip(found, (1000, 4000), (3000, 7000), strict=True):
        assert abs(turn.start_ms - start_ms) < 150
        assert abs(turn.end_ms - end_ms) < 150
        np.testing.assert_array_equal(samples, waveform[turn.start_ms * RATE // 1000 : turn.end_ms * RATE // 1000])
        assert (turn.text, turn.speaker) == (None, None)


@pytest.mark.parametrize("block", [1000, 16_000, 50_021])
def test_the_blocks_of_a_recording_do_not_change_its_segments(block: int) -> None:
    waveform = np.concatenate([silence(300), syllables(12_000), silence(900), syllables(700, seed=2), silence(123)])
    whole = list(cut_at_pauses(AudioBuffer(), [waveform]))
    blocks = (waveform[start : start + block] for start in range(0, len(waveform), block))
    assert len(whole) >= 3
    for expected, found in zip(whole, cut_at_pauses(AudioBuffer(), blocks), strict=True):
        assert found.turn == expected.turn
        np.testing.assert_array_equal(found.waveform, expected.waveform)


@pytest.mark.parametrize("name", ["silence", "noise", "tone", "chord", "nothing"])
def test_what_is_no_speech_has_no_segment(name: str) -> None:
    times = np.arange(5 * RATE) / RATE
    waveforms = {
        "silence": np.zeros(5 * RATE),
        "noise": np.random.default_rng(0).normal(0, 0.1, 5 * RATE),
        "tone": 0.3 * np.sin(2 * np.pi * 660 * times),
        "chord": 0.2 * np.sin(2 * np.pi * np.outer([262, 330, 392], times)).sum(axis=0),
        "nothing": np.empty(0),
    }
    assert segments(waveforms[name].astype(np.float32)) == []


@pytest.mark.parametrize("sound", ["syllables", "silence"])
def test_only_what_a_segment_can_hold_is_kept(sound: str) -> None:
    audio, held = AudioBuffer(), []
    minute = syllables(60_000) if sound == "syllables" else silence(60_000)

    def seconds() -> "Iterator[Waveform]":
        for start in range(0, len(minute), RATE):
            yield minute[start : start + RATE]
            held.append(sum(map(len, audio._blocks)) / RATE)

    list(cut_at_pauses(audio, seconds()))
    assert audio.duration_ms == 60_000
    assert max(held) < (MAX_SEGMENT_MS / 1000 + 10 if sound == "syllables" else 12)


def test_segments_follow_each_other_without_a_gap_in_speech_without_a_pause() -> None:
    found = segments(np.concatenate([silence(500), syllables(35_000), silence(500)]))
    assert len(found) >= 4
    assert sum(before[1] == after[0] for before, after in pairwise(found)) >= 3


ARRIVING = np.concatenate(
    [silence(300), syllables(13_000), silence(900), syllables(200), silence(80), syllables(700, seed=2), silence(123)]
)


@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=60), st.booleans())
@settings(max_examples=25)
def test_a_recording_that_arrives_in_any_pieces_has_the_segments_of_the_whole(sizes: list[int], ask: bool) -> None:
    found = FoundTurns(AudioBuffer())
    heard: list[TurnAudio] = []
    for piece in np.split(ARRIVING, np.cumsum(sizes).clip(max=len(ARRIVING))):
        heard += found.add(piece)
        heard += found.arrived() if ask else ()
    heard += found.finish()
    whole = list(cut_at_pauses(AudioBuffer(), [ARRIVING]))
    assert [turn for turn, _ in heard] == [turn for turn, _ in whole]
    assert all(np.array_equal(ours.waveform, theirs.waveform) for ours, theirs in zip(heard, whole, strict=True))


def test_a_segment_of_a_recording_in_progress_is_there_soon_after_its_end() -> None:
    found, piece = FoundTurns(AudioBuffer()), RATE // 10
    waveform = np.concatenate([silence(500), syllables(2000), silence(3000)])
    for start in range(0, len(waveform), piece):
        segments = [*found.add(waveform[start : start + piece]), *found.arrived()]
        if segments:
            break
    assert segments[0].turn.end_ms <= (start + piece) * 1000 // RATE <= segments[0].turn.end_ms + 250


def test_a_start_is_known_once_the_sound_is_no_click() -> None:
    found = FoundTurns(AudioBuffer())
    assert not [*found.add(silence(500)), *found.arrived()]
    assert not found.started_ms
    assert not [*found.add(syllables(1000)), *found.arrived()]
    (started_ms,) = found.started_ms
    (segment,) = [*found.add(silence(500)), *found.arrived()]
    assert segment.turn.start_ms == started_ms
    assert not found.started_ms


def test_a_commit_ends_the_segment_that_is_being_spoken() -> None:
    found = FoundTurns(AudioBuffer())
    assert not [*found.add(syllables(1500)), *found.arrived()]
    (first,) = found.commit()
    assert not list(found.commit())
    (second,) = [*found.add(syllables(1500, seed=1)), *found.finish()]
    assert first.turn.end_ms == second.turn.start_ms == 1500
    assert second.turn.end_ms == 3000
