"""The quality of a recording: its length, its hash, and flags for possible defects in any part of it.

The recording is decoded once. A flag does not reject an utterance.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from urgency_dagster.calls.audio import (
    BLOCK_SAMPLES,
    PCM16_STEP,
    damaged,
    joined,
    mixed,
    opened,
    repaired,
    sample_blocks,
)

if TYPE_CHECKING:
    import numpy as np

SILENCE_RMS = 1e-3
"""A part with a lower root mean square is silent: -60 dBFS, where full scale is 1.

For comparison: 16-bit dither is at -90 dBFS, quantisation noise of idle mu-law below -70 dBFS, a faint telephone voice
above -50 dBFS.
"""

FULL_SCALE = 32_124 * PCM16_STEP
"""Minimum absolute value of a full-scale sample: the largest code of mu-law, as 16 bits.

Calls pass a telephone exchange, so 16-bit copies end at the largest code of its companding: 32,124 for mu-law, 32,256
for A-law. PCM ends at 32,767. Source: ITU-T G.711.
"""

CLIPPED_RUN = 3
"""Number of consecutive equal full-scale samples that count as clipping.

An unclipped wave reaches full scale with one or two samples; a clipped one is flat. Source: Audacity's Find Clipping.
"""

TONE_HZ = 660.0
"""Frequency of a steady tone in some calls of data set 71768. It probably masks private words."""

TONE_TOLERANCE_HZ = 12
"""Maximum difference from TONE_HZ. The nearest telephone tones are at 620 and 697 Hz, at least 37 Hz away."""

TONE_BLOCK_S = 0.01
"""Length of an analysis block. Within it, the phase of a tone inside the tolerance is nearly constant."""

TONE_BLOCKS = 29
"""Number of consecutive blocks with the tone: any 300 ms contain 29 complete blocks."""

MIN_TONE_SHARE = 0.85
"""Minimum share of the energy of those blocks in one steady tone. A tone with noise 10 dB below it has 0.91.

Over 290 ms, only a tone that is stable within about 1 Hz reaches it. Vowels, sweeps and vibrato do not.
"""


class RecordingQuality:
    """A decoded recording, with the flags of any part of it.

    Args:
        waveform: mono float32 of shape (samples,), without NaN.
        sample_rate: sample rate of the waveform in Hz.
        damaged_at: positions of samples that were damaged in any channel, ascending; see `audio.damaged`.
        clipped_at: positions of the last of CLIPPED_RUN clipped samples in any channel, ascending.

    Attributes:
        duration_ms: length of the decodable audio in ms, rounded down.
        audio_sha256: SHA-256 of the audio in hex: the sample rate as 4 bytes, then the mono samples as float32, both
            little-endian, with 0 for damaged samples and for negative zeros. It does not depend on the container, the
            header or a lossless encoding.
    """

    def __init__(
        self, waveform: "np.ndarray", sample_rate: int, damaged_at: "np.ndarray", clipped_at: "np.ndarray"
    ) -> None:
        self.duration_ms: int = len(waveform) * 1000 // sample_rate
        self.audio_sha256: str = _sound_hash(waveform, sample_rate)
        self._waveform = waveform
        self._sample_rate = sample_rate
        self._damaged_at = damaged_at
        self._clipped_at = clipped_at
        self._tone_from = tone_blocks(waveform, sample_rate)

    @classmethod
    def read(cls, recording: Path | bytes) -> "RecordingQuality":
        """Decodes a recording: the path of a file, or the bytes of one.

        Raises:
            AudioError: see `audio.decode`.
        """
        with opened(recording) as file:
            sample_rate = int(file.samplerate)
            blocks = list(_analysed(sample_blocks(file)))
        waveforms, damaged_at, clipped_at = zip(*blocks, strict=True) if blocks else ((), (), ())
        return cls(joined(waveforms), sample_rate, joined(damaged_at), joined(clipped_at))

    def flags(self, start_ms: int, end_ms: int) -> dict[str, bool]:
        """The flags between two times in ms. An end after the last sample is clipped.

        Returns:
            `silent`: the standard deviation is below SILENCE_RMS, or there are no samples. `has_nan`: a sample was
            damaged, see `audio.damaged`. `clipped`: there are CLIPPED_RUN consecutive equal full-scale samples.
            `tone_660hz`: TONE_BLOCKS consecutive blocks contain a steady tone of 660 Hz.
        """
        start = max(0, int(start_ms / 1000 * self._sample_rate))
        end = int(end_ms / 1000 * self._sample_rate)
        part = self._waveform[start:end]
        block = _block_samples(self._sample_rate)
        return {
            "silent": not len(part) or bool(part.var() < SILENCE_RMS**2),
            "has_nan": _any_within(self._damaged_at, start, end),
            "clipped": _any_within(self._clipped_at, start + CLIPPED_RUN - 1, end),
            "tone_660hz": _any_within(self._tone_from, -(-start // block), end // block - TONE_BLOCKS + 1),
        }


def _analysed(blocks: "Iterable[np.ndarray]") -> "Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]":
    """Yields the waveform of each block, and the positions of damaged and of clipped frames in the recording."""
    start, before = 0, None
    for block in blocks:
        samples = repaired(block)
        before = samples[:0] if before is None else before
        yield mixed(samples), start + damaged_frames(block), start + clipped_frames(samples, before)
        start, before = start + len(block), samples[1 - CLIPPED_RUN :]


def damaged_frames(samples: "np.ndarray") -> "np.ndarray":
    """The positions of frames with a damaged channel, ascending: int32 of shape (damaged,)."""
    import numpy as np

    if samples.dtype == np.int16:
        return np.empty(0, dtype=np.int32)
    return np.flatnonzero(damaged(samples).any(axis=1)).astype(np.int32)


def clipped_frames(samples: "np.ndarray", before: "np.ndarray") -> "np.ndarray":
    """The positions of the last frame of each clipped run in a channel, ascending: int32 of shape (clipped,).

    Args:
        samples: a block of `audio.sample_blocks`, repaired.
        before: the CLIPPED_RUN - 1 frames before the block; empty for the first block.
    """
    import numpy as np

    full_scale = FULL_SCALE / PCM16_STEP if samples.dtype == np.int16 else FULL_SCALE
    if -full_scale < samples.min() and samples.max() < full_scale:
        return np.empty(0, dtype=np.int32)  # true for nearly all recordings
    context = np.concatenate([before, samples])
    is_flat = (context[1:] == context[:-1]) & ((context[1:] >= full_scale) | (context[1:] <= -full_scale))
    for _ in range(CLIPPED_RUN - 2):
        is_flat = is_flat[1:] & is_flat[:-1]
    return (np.flatnonzero(is_flat.any(axis=1)) + CLIPPED_RUN - 1 - len(before)).astype(np.int32)


def tone_blocks(waveform: "np.ndarray", sample_rate: int) -> "np.ndarray":
    """The first blocks of all windows of TONE_BLOCKS blocks that contain a steady tone of 660 Hz, ascending.

    Source: the periodogram of a window at the frequency that its phase advances with, as a share of its energy. It is
    computed only for windows that can reach the share: the length of a sum of phasors is at most the sum of lengths.
    """
    import numpy as np

    phasors, energies = _block_phasors(waveform, sample_rate)
    if len(energies) < TONE_BLOCKS:
        return np.empty(0, dtype=np.intp)
    ones, samples = np.ones(TONE_BLOCKS), _block_samples(sample_rate)
    energy = np.convolve(energies, ones, "valid")  # (windows,)
    bound = 2 * np.convolve(np.abs(phasors) ** 2, ones, "valid") / samples
    loud = energy >= SILENCE_RMS**2 * TONE_BLOCKS * samples
    candidates = np.flatnonzero(loud & (bound >= MIN_TONE_SHARE * energy))
    turns = np.convolve(phasors[1:] * phasors[:-1].conj(), ones[1:], "valid")[candidates]
    windows = np.lib.stride_tricks.sliding_window_view(phasors, TONE_BLOCKS)[candidates]  # (candidates, blocks)
    tone = 2 * _aligned_power(windows, np.angle(turns)) / (TONE_BLOCKS * samples)
    near = np.abs(np.angle(turns)) <= 2 * np.pi * TONE_TOLERANCE_HZ * samples / sample_rate
    return candidates[near & (tone >= MIN_TONE_SHARE * energy[candidates])]


def _aligned_power(windows: "np.ndarray", turns: "np.ndarray") -> "np.ndarray":
    """The power of each row's sum of phasors, after the row's phase advance per block is removed."""
    import numpy as np

    # A polynomial and not a matrix product: with one worker per core, BLAS threads would compete.
    sums = np.polynomial.polynomial.polyval(np.exp(-1j * turns), windows.T, tensor=False)
    power: np.ndarray = np.abs(sums) ** 2
    return power


def _block_phasors(waveform: "np.ndarray", sample_rate: int) -> "tuple[np.ndarray, np.ndarray]":
    """The complex component at TONE_HZ of each block, and its energy without the mean; both of shape (blocks,)."""
    import numpy as np

    samples = _block_samples(sample_rate)
    blocks = waveform[: len(waveform) // samples * samples].reshape(-1, samples)
    turn = np.exp(-2j * np.pi * TONE_HZ / sample_rate * np.arange(samples))
    turn -= turn.mean()  # a constant offset is not audible
    cosine, sine = (np.einsum("ij,j->i", blocks, part.astype(np.float32)) for part in (turn.real, turn.imag))
    starts = np.exp(-2j * np.pi * TONE_HZ / sample_rate * samples * np.arange(len(blocks)))
    sums = np.einsum("ij->i", blocks).astype(np.float64)
    energies = np.einsum("ij,ij->i", blocks, blocks) - sums**2 / samples
    return (cosine + 1j * sine) * starts, np.maximum(energies, 0)


def _block_samples(sample_rate: int) -> int:
    return round(TONE_BLOCK_S * sample_rate)


def _any_within(positions: "np.ndarray", start: int, end: int) -> bool:
    """Whether one of the ascending positions is in the half-open interval from `start` to `end`."""
    return bool(positions.searchsorted(start) < positions.searchsorted(end))


def _sound_hash(waveform: "np.ndarray", sample_rate: int) -> str:
    import numpy as np

    digest = hashlib.sha256(sample_rate.to_bytes(4, "little"))
    for start in range(0, len(waveform), BLOCK_SAMPLES):
        positive_zeros = waveform[start : start + BLOCK_SAMPLES] + np.float32(0)
        digest.update(positive_zeros.astype("<f4", copy=False).data)
    return digest.hexdigest()
