"""A recording in blocks: the samples of `audio.load_waveform`, but never all of them in memory."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from urgency_dagster.calls.audio import (
    SAMPLE_RATE,
    Audio,
    check_samples,
    mixed,
    mono,
    no_samples,
    opened,
    repaired,
    sample_blocks,
)

if TYPE_CHECKING:
    import numpy as np

MAX_BLOCKS_LENGTH_S = 6 * 3600
"""Maximum seconds of a recording in blocks. It bounds the time: a compressed day of silence fits in some kB."""

STREAM_SAMPLES = 1 << 18
"""Samples of all channels in a block, half a minute at 8 kHz.

Larger blocks are released with holes around them in the heap, and a recording of hours needs ever more memory.
"""


def waveform_blocks(audio: Audio) -> "Iterator[np.ndarray]":
    """Yields consecutive blocks of a recording: mono float32 at 16 kHz, each of shape (samples,), at least one.

    Together they are bit-equal to `audio.load_waveform`, which is a third faster for a recording in one block.

    Args:
        audio: see `audio.decode`.

    Raises:
        AudioError: see `audio.decode`; but the recording may have up to MAX_BLOCKS_LENGTH_S. Blocks before a damage
            are yielded.
    """
    if isinstance(audio, tuple):
        samples, sample_rate = audio
        check_samples(samples, sample_rate, MAX_BLOCKS_LENGTH_S)
        starts = range(0, len(samples), STREAM_SAMPLES)
        yield from _resampled((mono(samples[start : start + STREAM_SAMPLES]) for start in starts), sample_rate)
        return
    with opened(Path(audio) if isinstance(audio, str) else audio) as file:
        blocks = (mixed(repaired(block)) for block in sample_blocks(file, MAX_BLOCKS_LENGTH_S, STREAM_SAMPLES))
        yield from _resampled(blocks, file.samplerate)


def _resampled(blocks: "Iterable[np.ndarray]", sample_rate: int) -> "Iterator[np.ndarray]":
    """Yields the blocks at 16 kHz."""
    resampler = Resampler(sample_rate)
    for block, is_last in _with_last(blocks):
        yield resampler.add(block, is_last=is_last)
    if not resampler.read:
        raise no_samples()


class Resampler:
    """Resamples a recording to 16 kHz while it arrives. All its output is bit-equal to that of the whole recording.

    Attributes:
        read: number of samples that were added.

    Source: see `audio._resampled` for the quality and the length.
    """

    def __init__(self, sample_rate: int) -> None:
        import soxr

        self.read = self._written = 0
        self._sample_rate = sample_rate
        self._stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def add(self, samples: "np.ndarray", *, is_last: bool = False) -> "np.ndarray":
        """The next samples at 16 kHz, float32 of shape (samples,), possibly none. Some need later samples.

        Args:
            samples: the next samples at the rate of the recording, mono float32.
            is_last: whether no samples follow.
        """
        self.read += len(samples)
        if self._sample_rate == SAMPLE_RATE:
            return samples
        resampled: np.ndarray = self._stream.resample_chunk(samples, last=is_last)
        self._written += len(resampled)
        return self._completed(resampled) if is_last else resampled

    def _completed(self, resampled: "np.ndarray") -> "np.ndarray":
        import numpy as np

        missing = math.ceil(self.read * (SAMPLE_RATE / self._sample_rate)) - self._written  # soxr rounds to the nearest
        return np.pad(resampled, (0, missing)) if missing else resampled


def _with_last(blocks: "Iterable[np.ndarray]") -> "Iterator[tuple[np.ndarray, bool]]":
    """Yields each block, and whether it is the last."""
    before = None
    for block in blocks:
        if before is not None:
            yield before, False
        before = block
    if before is not None:
        yield before, True
