"""Recordings become waveforms: mono float32 at 16 kHz, decoded and resampled once per call, then cut."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from urgency_dagster.errors import AudioError

if TYPE_CHECKING:
    import numpy as np
    import soundfile

SAMPLE_RATE = 16_000
"""Samples per second that wav2vec2 models expect."""


SAMPLE_RATES = (4_000, 192_000)
"""Rates in Hz of recordings of speech; a header that says otherwise is damaged, and would blow up the resampling."""

LENGTH_MAX_S = 3600
"""Longer recordings are refused; the longest call of the data set is 180 s. A compressed hour fits in a few kB."""

AMPLITUDE_MAX = float(2**31)
"""What 32-bit integers reach, where full scale is 1. Beyond it and not-a-number, a float sample is damaged."""

BLOCK_SAMPLES = 1 << 20


def decode(path: Path) -> "tuple[np.ndarray, int]":
    """The waveform of a file at its own rate, mixed to mono: float32 of shape (samples,), and its sample rate.

    A file whose header promises more than it holds is read as far as it goes; damaged float samples become 0.

    Raises:
        AudioError: libsndfile cannot read the file, it holds no sample, or its rate or length is not that of a call.
    """
    import numpy as np
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            blocks = list(_blocks(file))
            sample_rate = int(file.samplerate)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"not decodable ({type(error).__name__})", "a WAV file", "copy the archive again") from error
    if not blocks:
        raise AudioError("no samples", "a WAV file with sound", "copy the archive again")
    return np.concatenate(blocks), sample_rate


def _blocks(file: "soundfile.SoundFile") -> "Iterator[np.ndarray]":
    """The waveform in mono pieces, because the length in the header may be a lie that fits no memory."""
    import numpy as np

    if not SAMPLE_RATES[0] <= file.samplerate <= SAMPLE_RATES[1]:
        raise AudioError(f"{file.samplerate} samples per second", f"{SAMPLE_RATES}", "copy the archive again")
    left = LENGTH_MAX_S * file.samplerate
    while len(samples := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        left -= len(samples)
        if left < 0:
            raise AudioError(f"longer than {LENGTH_MAX_S} s", "a recording of a call", "copy the archive again")
        samples[~(np.abs(samples) <= AMPLITUDE_MAX)] = 0
        yield samples.mean(axis=1)


def load_waveform(path: Path) -> "np.ndarray":
    """The whole recording as mono float32 at 16 kHz, shape (samples,).

    Source: `librosa.load(path, sr=16000)`, as the original pipeline reads it, gives the same numbers.

    Raises:
        AudioError: see `decode`.
    """
    import librosa

    waveform, sample_rate = decode(path)
    if sample_rate == SAMPLE_RATE:
        return waveform
    return librosa.resample(waveform, orig_sr=sample_rate, target_sr=SAMPLE_RATE)


def cut(waveform: "np.ndarray", start_ms: int, end_ms: int) -> "np.ndarray":
    """The part of a 16 kHz waveform between two times; an end past the last sample is clipped."""
    return waveform[int(start_ms / 1000 * SAMPLE_RATE) : int(end_ms / 1000 * SAMPLE_RATE)]


def duration_ms(path: Path) -> int:
    """The length of what can be decoded, in whole milliseconds rounded down.

    Raises:
        AudioError: see `decode`.
    """
    waveform, sample_rate = decode(path)
    return len(waveform) * 1000 // sample_rate
