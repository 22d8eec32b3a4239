"""The part of a recording that is still needed, so that a long recording need not fit in memory."""

from collections import deque
from typing import TYPE_CHECKING

from urgency_dagster import calls

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class AudioBuffer:
    """The last blocks of a recording, mono float32 at 16 kHz.

    Attributes:
        samples: number of samples that were added since the start of the recording.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._start = 0

    @property
    def duration_ms(self) -> int:
        """Length of the recording so far, in whole ms."""
        return self.samples * 1000 // calls.SAMPLE_RATE

    @property
    def kept_from_ms(self) -> int:
        """Start of the audio that is still there, in whole ms, rounded up."""
        return -(-self._start * 1000 // calls.SAMPLE_RATE)

    def add(self, block: "NDArray[np.float32]") -> None:
        """Adds the next block of the recording."""
        self._blocks.append(block)
        self.samples += len(block)

    def cut(self, start_ms: int, end_ms: int) -> "NDArray[np.float32]":
        """A copy of what `calls.cut` returns for the whole recording. A view would keep the blocks in memory.

        Args:
            start_ms: start in ms, not before a time that was forgotten.
            end_ms: end in ms. An end after the last sample is clipped.
        """
        import numpy as np

        start, end = (calls.sample_at(ms) - self._start for ms in (start_ms, end_ms))
        parts, offset = [np.empty(0, np.float32)], 0
        for block in self._blocks:
            parts.append(block[max(start - offset, 0) : max(end - offset, 0)])
            offset += len(block)
        return np.concatenate(parts)

    def forget(self, before_ms: int) -> None:
        """Drops the blocks that end before a time in ms."""
        while self._blocks and self._start + len(self._blocks[0]) <= calls.sample_at(before_ms):
            self._start += len(self._blocks.popleft())
