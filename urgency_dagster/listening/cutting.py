"""A recording without turns is cut into segments of speech. Long speech is split where it is quietest.

A segment is not a turn: two persons who speak without a pause between them are in one segment.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from urgency_dagster import calls
from urgency_dagster.listening.audio_buffer import AudioBuffer
from urgency_dagster.listening.turns import Turn, TurnAudio
from urgency_dagster.listening.voice_activity import WINDOW_MS, VoiceActivity, Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEECH_PROBABILITY = 0.5
"""Speech begins in a window of at least this probability. Source: the default of silero-vad."""

PAUSE_PROBABILITY = 0.35
"""A pause begins in a window below this probability. Source: the default of silero-vad."""

MIN_PAUSE_MS = 100
"""Minimum pause between two segments. Source: the default of silero-vad."""

MIN_SPEECH_MS = 250
"""Minimum speech of a segment. Shorter sounds are clicks. Source: the default of silero-vad."""

MARGIN_MS = WINDOW_MS
"""Audio that a segment holds before and after its speech. Source: silero-vad takes 30 ms."""

MAX_SEGMENT_MS = 10_000
"""Maximum length of a segment. Source: 95 % of the utterances of the data set are shorter than 5.4 s."""

MIN_SEGMENT_MS = calls.MIN_DURATION_MS
"""Minimum length of a segment, that of an utterance in training. A shorter one gets the silence around it."""

MAX_WINDOWS = (MAX_SEGMENT_MS - 2 * MARGIN_MS) // WINDOW_MS
"""Windows of an open segment at which it is split."""

SPLIT_WINDOWS = range(MAX_WINDOWS // 2, MAX_WINDOWS - MIN_SEGMENT_MS // WINDOW_MS)
"""Windows at which it may be split. Neither part is shorter than MIN_SEGMENT_MS."""


def cut_at_pauses(audio: AudioBuffer, blocks: "Iterable[NDArray[np.float32]]") -> Iterator[TurnAudio]:
    """Yields the segments of a recording as turns, in the order of time. They do not overlap.

    A segment has MIN_SEGMENT_MS to MAX_SEGMENT_MS. Silence has no segment. The memory does not grow with the length of
    the recording, and the same recording has the same segments, however it is divided into blocks.

    Speech within the last MIN_SEGMENT_MS of a recording is lost if another segment ended right before it.

    Args:
        audio: an empty buffer. It takes the blocks and keeps those that are still needed.
        blocks: the recording in consecutive blocks of any length, mono float32 at 16 kHz.
    """
    found = FoundTurns(audio)
    for block in blocks:
        yield from found.add(block)
    yield from found.finish()


class FoundTurns:
    """The segments of a recording that arrives in pieces. They are those of `cut_at_pauses` for the whole recording.

    An iterator that a method returns has to be read to its end before the next call.

    Args:
        audio: an empty buffer. It takes the recording and keeps what is still needed.
    """

    def __init__(self, audio: AudioBuffer) -> None:
        self._audio, self._activity, self._cutter = audio, VoiceActivity(), Cutter()

    @property
    def started_ms(self) -> Sequence[int]:
        """Start of the segment that is being spoken; none while it may still be a click."""
        started_ms = self._cutter.started_ms
        return () if started_ms is None else (started_ms,)

    def add(self, block: "NDArray[np.float32]") -> Iterator[TurnAudio]:
        """Takes the next block, and yields the segments that are complete in whole blocks of `VoiceActivity`."""
        self._audio.add(block)
        yield from self._cut(self._activity.add(block))

    def arrived(self) -> Iterator[TurnAudio]:
        """Yields the segments that are complete by now, for a recording in progress. It costs a pass of the network."""
        if self._activity.unjudged:
            yield from self._cut(self._activity.arrived())

    def commit(self) -> Iterator[TurnAudio]:
        """Ends the segment that is being spoken now, and yields the segments that are complete."""
        yield from self.arrived()
        yield from self._ended()

    def finish(self) -> Iterator[TurnAudio]:
        """Yields the last segments of the recording."""
        yield from self._cut(self._activity.finish())
        yield from self._ended()

    def _cut(self, windows: Iterable[Window]) -> Iterator[TurnAudio]:
        for window in windows:
            if interval := self._cutter.add(window):
                yield self._taken(interval)
            self._audio.forget(self._cutter.needed_from_ms)

    def _ended(self) -> Iterator[TurnAudio]:
        if interval := self._cutter.finish(self._audio.duration_ms):
            yield self._taken(interval)

    def _taken(self, interval: tuple[int, int]) -> TurnAudio:
        return TurnAudio(Turn(*interval), self._audio.cut(*interval))


@dataclass
class Cutter:
    """The rule of the cut, one window after another.

    Attributes:
        windows: the windows since the start of the open segment; empty if none is open.
        pause: index in `windows` of the pause that lasts until now; None if there is none.
        now_ms: end of the last window.
        last_end_ms: end of the last segment.
    """

    windows: list[Window] = field(default_factory=list)
    pause: int | None = None
    now_ms: int = 0
    last_end_ms: int = 0

    @property
    def needed_from_ms(self) -> int:
        """Start of the audio that a later segment can hold."""
        return max(self.last_end_ms, self._start_ms - MIN_SEGMENT_MS)

    @property
    def started_ms(self) -> int | None:
        """Start of the open segment with its margin; None if none is open, or its speech is too short so far."""
        speech = len(self.windows) if self.pause is None else self.pause
        is_short = speech * WINDOW_MS < MIN_SPEECH_MS
        return None if is_short else max(self._start_ms - MARGIN_MS, self.last_end_ms)

    def add(self, window: Window) -> tuple[int, int] | None:
        """The start and the end in ms of the segment that this window completes; None if it completes none."""
        self.now_ms += WINDOW_MS
        if not self.windows and window.probability < SPEECH_PROBABILITY:
            return None
        self.windows.append(window)
        self._follow_pause(window.probability)
        if self._is_complete():
            return self.finish(self.now_ms)
        return self._split() if len(self.windows) == MAX_WINDOWS else None

    def finish(self, until_ms: int) -> tuple[int, int] | None:
        """The start and the end in ms of the open segment, which is closed; None if it is too short or none is open.

        Args:
            until_ms: maximum end of the segment.
        """
        speech = self.windows if self.pause is None else self.windows[: self.pause]
        start_ms, end_ms = self._start_ms, self._start_ms + len(speech) * WINDOW_MS
        self.windows, self.pause = [], None
        if end_ms - start_ms < MIN_SPEECH_MS:
            return None
        return self._taken(_widened(start_ms - MARGIN_MS, end_ms + MARGIN_MS, self.last_end_ms, until_ms))

    @property
    def _start_ms(self) -> int:
        return self.now_ms - len(self.windows) * WINDOW_MS

    def _follow_pause(self, probability: float) -> None:
        if probability >= SPEECH_PROBABILITY:
            self.pause = None
        elif probability < PAUSE_PROBABILITY and self.pause is None:
            self.pause = len(self.windows) - 1

    def _is_complete(self) -> bool:
        """Whether a pause is long enough, and the audio since the last segment too."""
        if self.pause is None or (len(self.windows) - self.pause) * WINDOW_MS < MIN_PAUSE_MS:
            return False
        return self.now_ms - self.last_end_ms >= MIN_SEGMENT_MS

    def _split(self) -> tuple[int, int] | None:
        """The first part of the open segment; the rest stays open."""
        first = _quietest(self.windows)
        start_ms = max(self._start_ms - MARGIN_MS, self.last_end_ms)
        end_ms = self._start_ms + first * WINDOW_MS
        self.windows = self.windows[first:]
        self.pause = None if self.pause is None else self.pause - first
        return self._taken((start_ms, end_ms))

    def _taken(self, interval: tuple[int, int] | None) -> tuple[int, int] | None:
        if interval:
            self.last_end_ms = interval[1]
        return interval


def _widened(start_ms: int, end_ms: int, first_ms: int, last_ms: int) -> tuple[int, int] | None:
    """The interval, lengthened to MIN_SEGMENT_MS within two times, first at its start; None if there is no room."""
    start_ms, end_ms = max(start_ms, first_ms), min(end_ms, last_ms)
    start_ms = max(min(start_ms, end_ms - MIN_SEGMENT_MS), first_ms)
    end_ms = min(max(end_ms, start_ms + MIN_SEGMENT_MS), last_ms)
    return (start_ms, end_ms) if end_ms - start_ms >= MIN_SEGMENT_MS else None


def _quietest(windows: Sequence[Window]) -> int:
    """The window at which a segment is split: the middle of its longest pause, else its window of the lowest level.

    Of equal ones the first is taken.
    """
    grouped = groupby(SPLIT_WINDOWS, lambda index: windows[index].probability < PAUSE_PROBABILITY)
    pauses = [list(indices) for is_pause, indices in grouped if is_pause]
    if not pauses:
        return min(SPLIT_WINDOWS, key=lambda index: windows[index].level)
    longest = max(pauses, key=len)
    return longest[len(longest) // 2]
