"""Recordings become waveforms: mono float32 at 16 kHz. Decoding and resampling happen once per call, then cutting."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from urgency_dagster.errors import AudioError

if TYPE_CHECKING:
    import numpy as np
    import soundfile

Audio: TypeAlias = "str | Path | bytes | tuple[np.ndarray, int]"
"""A recording: the path of a file, the bytes of one, or samples with their rate in Hz."""

SAMPLE_RATE = 16_000
"""Sample rate in Hz of the waveforms that wav2vec2 models expect."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 192_000
"""Accepted sample rates in Hz. Another rate in a header is damage, and would make resampling very large."""

MAX_LENGTH_S = 3600
"""Maximum seconds of a recording; the longest call of the data set has 180 s. One compressed hour fits in a few kB."""

MAX_FRAMES = MAX_LENGTH_S * 48_000
"""Maximum frames of a recording at any sample rate: an hour at 192 kHz would take 2.8 GB."""

MAX_AMPLITUDE = float(2**31)
"""Maximum absolute value of a float sample, where full scale is 1. Larger values and NaN are damage."""

UNKNOWN_FRAMES = 1 << 62
"""libsndfile's frames of a stream without a stated end are not below this. Source: SF_COUNT_MAX in sndfile.h."""

PCM16_STEP = 2.0**-15
"""One step of a 16-bit sample, where full scale is 1."""

CHUNK_NAMES = (
    b"LIST",
    b"INFO",
    b"id3 ",
    b"ID3 ",
    b"fact",
    b"cue ",
    b"bext",
    b"iXML",
    b"PEAK",
    b"JUNK",
    b"PAD ",
    b"smpl",
)
"""Names of chunks that follow the samples of a WAV file. Source: those that libsndfile reads or skips by name."""

BLOCK_SAMPLES = 1 << 21
"""Samples of all channels that are read at once. Every call of the data set fits in one block."""


def load_waveform(audio: Audio) -> "np.ndarray":
    """Loads a recording: mono float32 at 16 kHz, shape (samples,), without NaN or infinity.

    Source: bit-equal to `librosa.load(path, sr=16000)`, which the original pipeline uses.

    Args:
        audio: see `decode`.

    Raises:
        AudioError: see `decode`.
    """
    waveform, sample_rate = decode(audio)
    return waveform if sample_rate == SAMPLE_RATE else _resampled(waveform, sample_rate)


def decode(audio: Audio) -> "tuple[np.ndarray, int]":
    """Decodes a recording at its own sample rate, mixed to mono: float32 of shape (samples,), and the rate in Hz.

    If the header states a wrong length, the samples that exist are read. Damaged float samples become 0.

    Args:
        audio: a file of any format that libsndfile reads, as a path or as bytes; or samples of shape (samples,) or
            (samples, channels) with their rate in Hz. Samples are int16, or floats with full scale 1.

    Raises:
        AudioError: libsndfile cannot read the file, samples have another shape or type, there are none, or the rate or
            length is out of bounds.
    """
    if isinstance(audio, tuple):
        return _from_samples(*audio)
    with opened(Path(audio) if isinstance(audio, str) else audio) as file:
        return joined([mixed(repaired(block)) for block in sample_blocks(file)]), int(file.samplerate)


def stated_length_s(audio: Audio) -> float:
    """The length of a recording in seconds, without decoding it: what its header says, or the samples in memory.

    A header can be wrong. The length of a stream that does not know its own end is 0.

    Args:
        audio: see `decode`.

    Raises:
        AudioError: libsndfile cannot read the header, or the rate is out of bounds.
    """
    if isinstance(audio, tuple):
        return len(audio[0]) / audio[1]
    with opened(Path(audio) if isinstance(audio, str) else audio) as file:
        return 0.0 if file.frames >= UNKNOWN_FRAMES else file.frames / file.samplerate


def _from_samples(samples: "np.ndarray", sample_rate: int) -> "tuple[np.ndarray, int]":
    """The samples as `decode` returns those of a file.

    Raises:
        AudioError: see `decode`.
    """
    check_samples(samples, sample_rate)
    return mono(samples), int(sample_rate)


def mono(samples: "np.ndarray") -> "np.ndarray":
    """Samples in memory that `check_samples` accepts, mixed to mono: float32 of shape (samples,), full scale 1."""
    import numpy as np

    block = samples.reshape(len(samples), -1)
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which is damage
        values = block if block.dtype == np.int16 else block.astype(np.float32, copy=False)
    return np.ascontiguousarray(mixed(repaired(values)))


def check_samples(samples: "np.ndarray", sample_rate: int, max_length_s: int | None = None) -> None:
    """Checks the type and the shape of samples in memory, their rate and their length.

    Args:
        samples: the samples.
        sample_rate: their rate in Hz.
        max_length_s: see `sample_blocks`.

    Raises:
        AudioError: they are no int16 or float array, or no recording with more samples than channels, or the rate or
            the length is out of bounds.
    """
    import numpy as np

    if not isinstance(samples, np.ndarray) or not (samples.dtype == np.int16 or samples.dtype.kind == "f"):
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise AudioError(f"samples of type {kind}", "a NumPy array of int16 or of floats", "convert them")
    if not samples.size:
        raise AudioError("no samples", "a recording with sound", "record it again")
    if samples.ndim not in (1, 2) or samples.shape[-1] > len(samples):
        raise AudioError(f"samples of shape {samples.shape}", "(samples,) or (samples, channels)", "transpose them")
    if not isinstance(sample_rate, Integral):
        raise AudioError(f"a sample rate of type {type(sample_rate).__name__}", "an integer in Hz", "convert it")
    _check_rate(sample_rate)
    if len(samples) > (max_frames := _max_frames(sample_rate, max_length_s)):
        raise _too_long(max_frames, sample_rate)


def _check_rate(sample_rate: int) -> None:
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"{sample_rate} samples per second",
            f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}",
            "copy the recording again",
        )


@contextmanager
def opened(source: Path | bytes) -> "Iterator[soundfile.SoundFile]":
    """Yields an open recording. Errors of reading it inside the block are translated too.

    Args:
        source: the path of a file, or its bytes.

    Raises:
        AudioError: libsndfile cannot read the file, or its sample rate is out of bounds.
    """
    import soundfile

    try:
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        with soundfile.SoundFile(stream) as file, _with_length(file, source) as complete:
            _check_rate(complete.samplerate)
            yield complete
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"not decodable ({type(error).__name__})", "a WAV file", "copy the recording again") from error


def _with_length(file: "soundfile.SoundFile", source: Path | bytes) -> "soundfile.SoundFile":
    """The file itself. If its header says 0 bytes although samples follow, a file with those samples.

    A WAV writer stores the length when it closes the file. An interrupted writer leaves 0, and libsndfile believes it.
    """
    import soundfile

    if file.frames or file.format not in ("WAV", "WAVEX"):
        return file
    content = source if isinstance(source, bytes) else source.read_bytes()
    header, length, samples = content.partition(b"data" + bytes(4))
    if not length or _are_chunks(samples):
        return file
    return soundfile.SoundFile(io.BytesIO(header + b"data" + b"\xff" * 4 + samples))


def _are_chunks(content: bytes) -> bool:
    """Whether a content is a sequence of RIFF chunks.

    Samples can begin like the name of a chunk, but not like a chain of chunks that ends with the file. A known name is
    enough, because its chunk can be cut off.
    """
    if content[:4] in CHUNK_NAMES:
        return True
    start = 0
    while start + 8 <= len(content) and content[start : start + 4].strip().isalnum():
        start += 8 + int.from_bytes(content[start + 4 : start + 8], "little")
        start += start % 2
    return 0 < len(content) <= start <= len(content) + 1


def sample_blocks(
    file: "soundfile.SoundFile", max_length_s: int | None = None, block_samples: int | None = None
) -> "Iterator[np.ndarray]":
    """Yields the samples in blocks of shape (frames, channels): int16 for 16-bit PCM, otherwise float32, full scale 1.

    Blocks, because the length in a header can be wrong and larger than the memory. int16 for 16-bit PCM, because
    libsndfile needs ten times as long to convert it to float.

    Args:
        file: an open recording.
        max_length_s: maximum seconds; None for the bounds of a recording that is held in memory.
        block_samples: samples of all channels in a block; None for BLOCK_SAMPLES.

    Raises:
        AudioError: the recording is longer than that, or than MAX_LENGTH_S or MAX_FRAMES.
    """
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    remaining = max_frames = _max_frames(file.samplerate, max_length_s)
    frames = max(1, (block_samples or BLOCK_SAMPLES) // file.channels)
    while len(samples := file.read(frames, dtype=dtype, always_2d=True)):
        remaining -= len(samples)
        if remaining < 0:
            raise _too_long(max_frames, file.samplerate)
        yield samples


def _max_frames(sample_rate: int, max_length_s: int | None) -> int:
    return min(MAX_LENGTH_S * sample_rate, MAX_FRAMES) if max_length_s is None else max_length_s * sample_rate


def _too_long(max_frames: int, sample_rate: int) -> AudioError:
    return AudioError(f"longer than {max_frames // sample_rate} s", "a recording of a call", "copy the recording again")


def damaged(samples: "np.ndarray") -> "np.ndarray":
    """Marks the float samples that are NaN or above MAX_AMPLITUDE: bool of the shape of `samples`."""
    import numpy as np

    marks: np.ndarray = ~(np.abs(samples) <= MAX_AMPLITUDE)
    return marks


def repaired(samples: "np.ndarray") -> "np.ndarray":
    """A block of `sample_blocks` with 0 for damaged samples. Integer samples cannot be damaged."""
    import numpy as np

    return samples if samples.dtype == np.int16 else np.where(damaged(samples), np.float32(0), samples)


def mixed(samples: "np.ndarray") -> "np.ndarray":
    """A block of `sample_blocks` mixed to mono: float32 of shape (frames,), full scale 1."""
    import numpy as np

    if samples.dtype == np.int16:
        samples = np.multiply(samples, np.float32(PCM16_STEP), dtype=np.float32)
    mono: np.ndarray = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return mono


def pcm16_samples(content: bytes) -> "np.ndarray":
    """The samples of raw PCM16, little endian and mono: float32 of shape (samples,), full scale 1.

    Raises:
        AudioError: the number of bytes is odd.
    """
    import numpy as np

    if len(content) % 2:
        raise AudioError(f"{len(content)} bytes of 16-bit samples", "an even number", "send whole samples")
    return mixed(np.frombuffer(content, "<i2").astype(np.int16, copy=False)[:, None])


def joined(arrays: "Sequence[np.ndarray]") -> "np.ndarray":
    """Concatenates one array per block.

    Raises:
        AudioError: there are none.
    """
    import numpy as np

    if not arrays:
        raise no_samples()
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def no_samples() -> AudioError:
    """The error for a recording without a sample."""
    return AudioError("no samples", "a WAV file with sound", "copy the recording again")


def _resampled(waveform: "np.ndarray", sample_rate: int) -> "np.ndarray":
    """Resamples to 16 kHz with soxr, as `librosa.resample` does.

    librosa is not used here because it is slower: measured on a call of 65 s at 8 kHz (CPU time, warm, median of 60),
    4.1 ms instead of 8.4 ms; and its first use costs each worker process 4 s and 200 MB.

    Source: `librosa.resample` for the quality HQ and for the length, ceil(samples * ratio).
    """
    import numpy as np
    import soxr

    ratio = SAMPLE_RATE / sample_rate
    resampled = soxr.resample(waveform, sample_rate, SAMPLE_RATE, "HQ")
    missing = math.ceil(len(waveform) * ratio) - len(resampled)  # soxr rounds to the nearest
    return np.pad(resampled, (0, missing)) if missing else resampled


def sample_at(time_ms: int) -> int:
    """The index in a 16 kHz waveform of a time in ms, rounded down."""
    return int(time_ms / 1000 * SAMPLE_RATE)


def cut(waveform: "np.ndarray", start_ms: int, end_ms: int) -> "np.ndarray":
    """The part of a 16 kHz waveform between two times in ms. An end after the last sample is clipped."""
    return waveform[sample_at(start_ms) : sample_at(end_ms)]
