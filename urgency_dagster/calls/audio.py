"""Recordings become waveforms: mono float32 at 16 kHz, decoded and resampled once per call, then cut.

What a recording is like (silence, clipping, tones) is not judged here.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

MAX_LENGTH_S = 3600
"""Longer recordings are refused; the longest call of the data set is 180 s. A compressed hour fits in a few kB."""

MAX_FRAMES = MAX_LENGTH_S * 48_000
"""Frames (samples of all channels at one time) of a recording at any rate: an hour at 192 kHz would be 2.8 GB."""

MAX_AMPLITUDE = float(2**31)
"""What 32-bit integers reach, where full scale is 1. Beyond it and not-a-number, a float sample is damaged."""

PCM16_STEP = 2.0**-15
"""One step of 16-bit samples, where full scale is 1."""

BLOCK_SAMPLES = 1 << 21
"""Samples of all channels that are read at once: every call of the data set is one block."""


def decode(path: Path) -> "tuple[np.ndarray, int]":
    """The waveform of a file at its own rate, mixed to mono: float32 of shape (samples,), and its sample rate.

    A file whose header promises more than it holds, or nothing, is read as far as it goes; damaged float samples
    become 0.

    Raises:
        AudioError: libsndfile cannot read the file, it holds no sample, or its rate or length is not that of a call.
    """
    with opened(path) as file:
        return joined([mixed(repaired(block)) for block in sample_blocks(file)]), int(file.samplerate)


@contextmanager
def opened(path: Path) -> "Iterator[soundfile.SoundFile]":
    """An open recording. The file may also be read inside the block.

    Raises:
        AudioError: libsndfile cannot read the file, or its rate is none of SAMPLE_RATES.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file, _with_length(file, path) as whole:
            if not SAMPLE_RATES[0] <= whole.samplerate <= SAMPLE_RATES[1]:
                raise AudioError(f"{whole.samplerate} samples per second", f"{SAMPLE_RATES}", "copy the archive again")
            yield whole
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"not decodable ({type(error).__name__})", "a WAV file", "copy the archive again") from error


def _with_length(file: "soundfile.SoundFile", path: Path) -> "soundfile.SoundFile":
    """The file itself; where its header says 0 bytes and samples follow, those samples.

    A writer fills in the length when it closes the file; one that was stopped leaves the 0. libsndfile believes it.
    """
    import soundfile

    if file.frames or file.format not in ("WAV", "WAVEX"):
        return file
    header, length, samples = path.read_bytes().partition(b"data" + bytes(4))
    if not length or samples[:4].strip().isalnum():  # the name of the next chunk: there are no samples
        return file
    return soundfile.SoundFile(io.BytesIO(header + b"data" + b"\xff" * 4 + samples))


def sample_blocks(file: "soundfile.SoundFile") -> "Iterator[np.ndarray]":
    """The samples in pieces of shape (frames, channels): int16 of 16-bit PCM, float32 with full scale 1 of the rest.

    In pieces, because the length in the header may be a lie that fits no memory; 16-bit samples as they are, because
    libsndfile takes ten times as long to make floats of them.

    Raises:
        AudioError: the recording is longer than MAX_LENGTH_S or MAX_FRAMES.
    """
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    left = frames_max = min(MAX_LENGTH_S * file.samplerate, MAX_FRAMES)
    while len(samples := file.read(max(1, BLOCK_SAMPLES // file.channels), dtype=dtype, always_2d=True)):
        left -= len(samples)
        if left < 0:
            longest_s = frames_max // file.samplerate
            raise AudioError(f"longer than {longest_s} s", "a recording of a call", "copy the archive again")
        yield samples


def damaged(samples: "np.ndarray") -> "np.ndarray":
    """Which float samples are not-a-number or beyond MAX_AMPLITUDE: bool of the shape of `samples`."""
    import numpy as np

    return ~(np.abs(samples) <= MAX_AMPLITUDE)


def repaired(samples: "np.ndarray") -> "np.ndarray":
    """One of `sample_blocks` with damaged samples 0; integers cannot be damaged."""
    import numpy as np

    return samples if samples.dtype == np.int16 else np.where(damaged(samples), np.float32(0), samples)


def mixed(samples: "np.ndarray") -> "np.ndarray":
    """One of `sample_blocks` in mono: float32 of shape (frames,), full scale 1."""
    import numpy as np

    if samples.dtype == np.int16:
        samples = np.multiply(samples, np.float32(PCM16_STEP), dtype=np.float32)
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def joined(pieces: "Sequence[np.ndarray]") -> "np.ndarray":
    """What was found in each of `sample_blocks`, as one array.

    Raises:
        AudioError: there are none.
    """
    import numpy as np

    if not pieces:
        raise AudioError("no samples", "a WAV file with sound", "copy the archive again")
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def load_waveform(path: Path) -> "np.ndarray":
    """The whole recording as mono float32 at 16 kHz, shape (samples,), without NaN or infinity.

    Source: `librosa.load(path, sr=16000)`, as the original pipeline reads it, gives the same numbers to the last bit.

    Raises:
        AudioError: see `decode`.
    """
    waveform, sample_rate = decode(path)
    return waveform if sample_rate == SAMPLE_RATE else _resampled(waveform, sample_rate)


def _resampled(waveform: "np.ndarray", sample_rate: int) -> "np.ndarray":
    """The waveform at 16 kHz. `librosa.resample` does this too, but its detours take longer than the work.

    Source: the quality and the length, ceil(n * ratio), are those of `librosa.resample`.
    """
    import numpy as np
    import soxr

    ratio = SAMPLE_RATE / sample_rate
    resampled = soxr.resample(waveform, sample_rate, SAMPLE_RATE, "HQ")
    missing = math.ceil(len(waveform) * ratio) - len(resampled)  # soxr rounds to the nearest
    return np.pad(resampled, (0, missing)) if missing else resampled


def cut(waveform: "np.ndarray", start_ms: int, end_ms: int) -> "np.ndarray":
    """The part of a 16 kHz waveform between two times; an end past the last sample is clipped."""
    return waveform[int(start_ms / 1000 * SAMPLE_RATE) : int(end_ms / 1000 * SAMPLE_RATE)]
