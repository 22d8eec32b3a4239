"""Recordings become waveforms: mono float32 at 16 kHz, decoded and resampled once per call, then cut."""

from pathlib import Path
from typing import TYPE_CHECKING

from urgency_dagster.errors import AudioError

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE = 16_000
"""Samples per second that wav2vec2 models expect."""


def decode(path: Path) -> "tuple[np.ndarray, int]":
    """The waveform of a file at its own rate, mixed to mono: float32 of shape (samples,), and its sample rate.

    A file whose header promises more than it holds is read as far as it goes.

    Raises:
        AudioError: libsndfile cannot read the file, or it holds no sample.
    """
    import soundfile

    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"not decodable ({type(error).__name__})", "a WAV file", "copy the archive again") from error
    if not len(samples):
        raise AudioError("no samples", "a WAV file with sound", "copy the archive again")
    return samples.mean(axis=1), int(sample_rate)


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
