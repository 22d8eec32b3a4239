"""Turns that are given with a recording are cut out of it, by the rules of the pipeline."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from urgency_dagster import calls
from urgency_dagster.errors import Rejected
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
    for _ in audio.filling(blocks):
        while waiting and waiting[0].end_ms <= audio.duration_ms:
            yield _taken(audio, waiting.popleft())
        audio.forget(waiting[0].start_ms if waiting else audio.duration_ms)
    for turn in waiting:
        if turn_reject(turn, audio.duration_ms) is None:
            yield _taken(audio, turn)


def _taken(audio: AudioBuffer, turn: Turn) -> TurnAudio:
    return TurnAudio(turn, audio.cut(turn.start_ms, turn.end_ms))


def turn_reject(turn: Turn, duration_ms: int) -> str | None:
    """The reason why a turn is left out of a recording of so many ms, see `calls.kept_interval`; None if it is kept."""
    try:
        calls.kept_interval(turn.start_ms, turn.end_ms, duration_ms)
    except Rejected as error:
        return str(error.reason)
    return None
