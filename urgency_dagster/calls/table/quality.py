"""What a recording is like: its length, its identity, and what may be wrong with any part of it.

Everything is found in one decoding. Nothing is decided here: a flag never drops an utterance.
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
"""Root mean square, full scale being 1, below which a part is silent: -60 dBFS.

Dither of 16 bits lies at -90 dBFS and the quantisation of mu-law at rest below -70; a faint voice on the telephone is
above -50.
"""

FULL_SCALE = 32_124 * PCM16_STEP
"""The least sample that is full scale: the last code of mu-law, as 16 bits. A-law ends at 32,256, PCM at 32,767.

Source: ITU-T G.711. Calls are recorded behind a telephone exchange, so 16-bit copies end where its codes end.
"""

CLIPPED_RUN = 3
"""Equal samples at full scale, one after the other, that are clipping.

A wave touches full scale with one or two samples; what is cut off is flat. Source: Audacity's Find Clipping.
"""

TONE_HZ = 660.0
"""The steady tone that some calls of data set 71768 carry, probably laid over private words."""

TONE_TOLERANCE_HZ = 12
"""How far the tone may be off. The nearest tones of the telephone, 620 and 697 Hz, are 37 Hz away and more."""

TONE_BLOCK_S = 0.01
"""The grid of the search; in so short a block, a tone within the tolerance keeps its phase."""

TONE_BLOCKS = 29
"""Consecutive blocks that the tone must fill: 300 ms hold 29 whole ones, wherever they begin."""

TONE_SHARE = 0.85
"""The least share of the energy of those blocks that is one steady tone. With noise 10 dB below it, it has 0.91.

Over 290 ms, only what keeps its frequency within about 1 Hz adds up: vowels, sweeps and vibrato do not.
"""


class RecordingQuality:
    """A decoded recording, of any part of which can be said what may be wrong with it.

    Args:
        waveform: mono float32 of shape (samples,), without NaN.
        sample_rate: of the waveform, in Hz.
        damaged_at: the samples, ascending, that were not-a-number or no amplitude in any channel.
        clipped_at: the samples, ascending, with which CLIPPED_RUN samples of clipping are complete in any channel.

    Attributes:
        duration_ms: the length of what can be decoded, in whole milliseconds rounded down.
        audio_sha256: what the recording sounds like, in hex: the SHA-256 of the sample rate as 4 bytes and of the mono
            samples as float32, both little-endian, damaged samples and negative zeros being 0. The same samples in
            another container, under another header or in another encoding that keeps them have the same hash.
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
    def read(cls, path: Path) -> "RecordingQuality":
        """The quality of a recording, decoded once.

        Raises:
            AudioError: see `audio.decode`.
        """
        with opened(path) as file:
            sample_rate = int(file.samplerate)
            found = list(_found(sample_blocks(file)))
        waveforms, damaged_at, clipped_at = zip(*found, strict=True) if found else ((), (), ())
        return cls(joined(waveforms), sample_rate, joined(damaged_at), joined(clipped_at))

    def flags(self, start_ms: int, end_ms: int) -> dict[str, bool]:
        """What may be wrong between two times; an end past the last sample is clipped.

        Returns:
            `silent`: below SILENCE_RMS about its mean, or without any sample. `has_nan`: a sample was damaged, see
            `audio.damaged`. `clipped`: CLIPPED_RUN equal samples at full scale follow each other. `tone_660hz`: a
            steady tone of 660 Hz fills TONE_BLOCKS blocks.
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


def _found(blocks: "Iterable[np.ndarray]") -> "Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]":
    """Of each block of samples: its waveform, and the frames that are damaged and in which clipping is complete."""
    start, before = 0, None
    for block in blocks:
        whole = repaired(block)
        before = whole[:0] if before is None else before
        yield mixed(whole), start + damaged_frames(block), start + clipped_frames(whole, before)
        start, before = start + len(block), whole[1 - CLIPPED_RUN :]


def damaged_frames(samples: "np.ndarray") -> "np.ndarray":
    """The frames, ascending, of which a channel is damaged; integers of shape (damaged,)."""
    import numpy as np

    if samples.dtype == np.int16:
        return np.empty(0, dtype=np.int32)
    return np.flatnonzero(damaged(samples).any(axis=1)).astype(np.int32)


def clipped_frames(samples: "np.ndarray", before: "np.ndarray") -> "np.ndarray":
    """The frames, ascending, with which clipping is complete in a channel; integers of shape (clipped,).

    Args:
        samples: one of `audio.sample_blocks`, without damage.
        before: the CLIPPED_RUN - 1 frames before them, or none at the beginning.
    """
    import numpy as np

    full_scale = FULL_SCALE / PCM16_STEP if samples.dtype == np.int16 else FULL_SCALE
    if -full_scale < samples.min() and samples.max() < full_scale:
        return np.empty(0, dtype=np.int32)  # as nearly all recordings
    context = np.concatenate([before, samples])
    held = (context[1:] == context[:-1]) & ((context[1:] >= full_scale) | (context[1:] <= -full_scale))
    for _ in range(CLIPPED_RUN - 2):
        held = held[1:] & held[:-1]
    return (np.flatnonzero(held.any(axis=1)) + CLIPPED_RUN - 1 - len(before)).astype(np.int32)


def tone_blocks(waveform: "np.ndarray", sample_rate: int) -> "np.ndarray":
    """The blocks of TONE_BLOCK_S, ascending, from which on TONE_BLOCKS blocks are one steady tone of 660 Hz.

    Source: the periodogram of each TONE_BLOCKS blocks at the frequency that their phases advance with, as a share of
    their energy. It is computed only where it may be large enough: a sum of phasors is at most the sum of their sizes.
    """
    import numpy as np

    phasors, energies = _block_phasors(waveform, sample_rate)
    if len(energies) < TONE_BLOCKS:
        return np.empty(0, dtype=np.intp)
    every, samples = np.ones(TONE_BLOCKS), _block_samples(sample_rate)
    energy = np.convolve(energies, every, "valid")  # (windows,)
    bound = 2 * np.convolve(np.abs(phasors) ** 2, every, "valid") / samples
    loud = energy >= SILENCE_RMS**2 * TONE_BLOCKS * samples
    candidates = np.flatnonzero(loud & (bound >= TONE_SHARE * energy))
    turns = np.convolve(phasors[1:] * phasors[:-1].conj(), every[1:], "valid")[candidates]
    windows = np.lib.stride_tricks.sliding_window_view(phasors, TONE_BLOCKS)[candidates]  # (candidates, blocks)
    tone = 2 * _aligned_power(windows, np.angle(turns)) / (TONE_BLOCKS * samples)
    near = np.abs(np.angle(turns)) <= 2 * np.pi * TONE_TOLERANCE_HZ * samples / sample_rate
    return candidates[near & (tone >= TONE_SHARE * energy[candidates])]


def _aligned_power(windows: "np.ndarray", turns: "np.ndarray") -> "np.ndarray":
    """The power of the sum of each row of phasors, each turned back by its row's angle from one to the next."""
    import numpy as np

    # A polynomial in the turn, and no matrix product: with a worker on every core, BLAS threads wait for each other.
    sums = np.polynomial.polynomial.polyval(np.exp(-1j * turns), windows.T, tensor=False)
    return np.abs(sums) ** 2


def _block_phasors(waveform: "np.ndarray", sample_rate: int) -> "tuple[np.ndarray, np.ndarray]":
    """Of each block, the component at TONE_HZ as a complex number, and the energy about the mean; both (blocks,)."""
    import numpy as np

    samples = _block_samples(sample_rate)
    blocks = waveform[: len(waveform) // samples * samples].reshape(-1, samples)
    turn = np.exp(-2j * np.pi * TONE_HZ / sample_rate * np.arange(samples))
    turn -= turn.mean()  # a constant offset is no sound
    cosine, sine = (np.einsum("ij,j->i", blocks, part.astype(np.float32)) for part in (turn.real, turn.imag))
    starts = np.exp(-2j * np.pi * TONE_HZ / sample_rate * samples * np.arange(len(blocks)))
    sums = np.einsum("ij->i", blocks).astype(np.float64)
    energies = np.einsum("ij,ij->i", blocks, blocks) - sums**2 / samples
    return (cosine + 1j * sine) * starts, np.maximum(energies, 0)


def _block_samples(sample_rate: int) -> int:
    return round(TONE_BLOCK_S * sample_rate)


def _any_within(positions: "np.ndarray", start: int, end: int) -> bool:
    """Whether one of the ascending positions is at least `start` and less than `end`."""
    return bool(positions.searchsorted(start) < positions.searchsorted(end))


def _sound_hash(waveform: "np.ndarray", sample_rate: int) -> str:
    import numpy as np

    digest = hashlib.sha256(sample_rate.to_bytes(4, "little"))
    for start in range(0, len(waveform), BLOCK_SAMPLES):
        positive_zeros = waveform[start : start + BLOCK_SAMPLES] + np.float32(0)
        digest.update(positive_zeros.astype("<f4", copy=False).data)
    return digest.hexdigest()
