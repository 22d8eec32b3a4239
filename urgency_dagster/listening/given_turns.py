"""Turns that are given with a recording are cut out of it, by the rules of the pipeline."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from urgency_dagster import calls
from urgency_dagster.errors import InputError, Rejected
from urgency_dagster.listening.audio_buffer import AudioBuffer
from urgency_dagster.listening.turns import Turn, TurnAudio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def cut_turns(
    audio: AudioBuffer, blocks: "Iterable[NDArray[np.float32]]", turns: Sequence[Turn]
) -> Iterator[TurnAudio]:
    """Yields the turns that are kept, in the order of their starts, each as soon as the recording has reached its end.

    Args:
        audio: an empty buffer. It takes the blocks and keeps those that are still needed.
        blocks: the recording in consecutive blocks of any length, mono float32 at 16 kHz.
        turns: the turns, in any order.
    """
    possible = (turn for turn in turns if turn_reject(turn, turn.end_ms) is None)
    waiting = deque(sorted(possible, key=lambda turn: turn.start_ms))
    for block in blocks:
        audio.add(block)
        while waiting and waiting[0].end_ms <= audio.duration_ms:
            yield _taken(audio, waiting.popleft())
        audio.forget(waiting[0].start_ms if waiting else audio.duration_ms)
    for turn in waiting:
        if turn_reject(turn, audio.duration_ms) is None:
            yield _taken(audio, turn)


class ArrivingTurns:
    """Turns that are given while a recording arrives. Each is cut out as soon as its audio is there.

    Args:
        audio: an empty buffer. It takes the recording and keeps what is still needed.
        kept_ms: audio that is kept for turns that are given after they were spoken. No turn may be longer.

    Attributes:
        rejected: the turns that `finish` left out, each with its reason, see `turn_reject`.
    """

    def __init__(self, audio: AudioBuffer, kept_ms: int) -> None:
        self.rejected: list[tuple[Turn, str]] = []
        self._audio, self._kept_ms = audio, kept_ms
        self._waiting: list[Turn] = []

    @property
    def waiting(self) -> int:
        """Number of turns whose audio is not complete."""
        return len(self._waiting)

    @property
    def started_ms(self) -> Sequence[int]:
        """Start of each turn that is being spoken, in the order of time."""
        return [turn.start_ms for turn in self._waiting if turn.start_ms < self._audio.duration_ms]

    def expect(self, turn: Turn) -> None:
        """Takes a turn. `arrived` yields it if its audio is there.

        Raises:
            InputError: its times cannot be used, it is longer than `kept_ms`, or its audio is no longer kept.
        """
        if reason := turn_reject(turn, turn.end_ms):
            raise _no_turn(turn, f"is refused: {reason}", f"at least {calls.MIN_DURATION_MS} ms in the order of time")
        if turn.end_ms - turn.start_ms > self._kept_ms:
            raise _no_turn(turn, "is too long", f"at most {self._kept_ms} ms")
        if turn.start_ms < self._audio.kept_from_ms:
            raise _no_turn(turn, "is too late", f"a start of {self._audio.kept_from_ms} ms or later")
        self._waiting = sorted([*self._waiting, turn], key=lambda waiting: waiting.start_ms)

    def add(self, block: "NDArray[np.float32]") -> Iterator[TurnAudio]:
        """Takes the next block, and yields the turns that it completes."""
        self._audio.add(block)
        yield from self.arrived()
        self._audio.forget(max(0, self._needed_from_ms))

    def arrived(self) -> Iterator[TurnAudio]:
        """Yields the turns whose audio is complete, in the order of their starts."""
        yield from self._cut(lambda turn: turn.end_ms <= self._audio.duration_ms)

    def commit(self) -> Iterator[TurnAudio]:
        """Ends the turns that are being spoken now and are long enough, and yields them."""
        yield from self._cut(lambda turn: turn_reject(turn, self._audio.duration_ms) is None)

    def finish(self) -> Iterator[TurnAudio]:
        """Yields the turns that the end of the recording completes, and rejects the others."""
        yield from self.commit()
        reasons = ((turn, turn_reject(turn, self._audio.duration_ms)) for turn in self._waiting)
        self.rejected += [(turn, reason) for turn, reason in reasons if reason]
        self._waiting = []

    @property
    def _needed_from_ms(self) -> int:
        first_ms = min((turn.start_ms for turn in self._waiting), default=self._audio.duration_ms)
        return min(first_ms, self._audio.duration_ms - self._kept_ms)

    def _cut(self, is_taken: Callable[[Turn], bool]) -> Iterator[TurnAudio]:
        taken = [turn for turn in self._waiting if is_taken(turn)]
        self._waiting = [turn for turn in self._waiting if not is_taken(turn)]
        for turn in taken:
            yield _taken(self._audio, turn)


def _no_turn(turn: Turn, received: str, expected: str) -> InputError:
    return InputError(f"the turn from {turn.start_ms} to {turn.end_ms} ms {received}", expected, "correct its times")


def _taken(audio: AudioBuffer, turn: Turn) -> TurnAudio:
    return TurnAudio(turn, audio.cut(turn.start_ms, turn.end_ms))


def turn_reject(turn: Turn, duration_ms: int) -> str | None:
    """The reason why a turn is left out of a recording of so many ms, see `calls.kept_interval`; None if it is kept."""
    try:
        calls.kept_interval(turn.start_ms, turn.end_ms, duration_ms)
    except Rejected as error:
        return str(error.reason)
    return None
