"""The audio of a call in progress: PCM16 becomes the turns of the finished recording, one after another."""

from collections.abc import Sequence
from typing import Literal

from urgency_dagster.calls import Resampler, pcm16_samples
from urgency_dagster.errors import InputError
from urgency_dagster.listening import ArrivingTurns, AudioBuffer, FoundTurns, Turn, TurnAudio


class CallAudio:
    """Resamples the audio as a whole and cuts the turns out of it. The memory does not grow with the call.

    Its methods compute, so they belong in a worker thread, one at a time.

    Args:
        sample_rate: samples per second.
        listening: `recogniser` to find the turns, `turns` to be given them.
        kept_s: seconds of audio that are kept for turns that are given after they were spoken.
    """

    def __init__(self, sample_rate: int, listening: Literal["recogniser", "turns"], kept_s: int) -> None:
        self._buffer = AudioBuffer()
        self._resampler = Resampler(sample_rate)
        self._turns: FoundTurns | ArrivingTurns = (
            FoundTurns(self._buffer) if listening == "recogniser" else ArrivingTurns(self._buffer, kept_s * 1000)
        )

    @property
    def duration_ms(self) -> int:
        """Milliseconds of audio so far."""
        return self._buffer.duration_ms

    @property
    def started_ms(self) -> Sequence[int]:
        """Start of each turn that is being spoken."""
        return self._turns.started_ms

    @property
    def waiting(self) -> int:
        """Number of given turns whose audio is not complete."""
        return self._turns.waiting if isinstance(self._turns, ArrivingTurns) else 0

    @property
    def rejected(self) -> Sequence[tuple[Turn, str]]:
        """Given turns that the end of the call left out, each with its reason."""
        return self._turns.rejected if isinstance(self._turns, ArrivingTurns) else ()

    def add(self, content: bytes) -> list[TurnAudio]:
        """The turns that are complete with the next audio, raw PCM16."""
        samples = self._resampler.add(pcm16_samples(content))
        return [*self._turns.add(samples), *self._turns.arrived()]

    def expect(self, turn: Turn) -> list[TurnAudio]:
        """Takes a given turn, and returns it if its audio is there.

        Raises:
            InputError: it cannot be used, or turns are not given.
        """
        if isinstance(self._turns, FoundTurns):
            raise InputError("a turn in a session that finds them", "`listening: turns`", "say so in `session.start`")
        self._turns.expect(turn)
        return list(self._turns.arrived())

    def commit(self) -> list[TurnAudio]:
        """Ends the turns that are being spoken, and returns them."""
        return list(self._turns.commit())

    def finish(self) -> list[TurnAudio]:
        """The turns that the end of the call completes."""
        samples = self._resampler.add(pcm16_samples(b""), is_last=True)
        return [*self._turns.add(samples), *self._turns.finish()]
