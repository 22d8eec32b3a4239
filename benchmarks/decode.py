"""Benchmark `decode`: each recording is decoded and resampled once per call; the reference does it once per utterance.

Both sides use one process, so the ratio is that of one core. The peak memory of the worker processes is measured on
archives of such calls.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Side, in_turns
from benchmarks.memory import growth_of_memory
from benchmarks.report import Comparison, by_rate
from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.segments import Recording, recording_segments
from urgency_dagster.errors import BenchmarkError

if TYPE_CHECKING:
    import numpy as np

CALL_RATE_HZ = 8_000
"""Source: the sample rate of AI Hub's data set 71768."""

TOLERANCE = 2**-15
"""Maximum difference of two samples, where full scale is 1: one step of 16-bit audio."""


MEMORY_STEPS = ("table", "segments")
"""The steps that decode, see `memory.STEPS`."""

ORIGINAL_GROUP = 32
"""Segments that the original pipeline decodes before it embeds them. Each one keeps its complete waveform in memory."""


@dataclass(frozen=True)
class DecodeSize:
    """The size of the benchmark.

    Attributes:
        calls: number of recordings.
        call_s: seconds of one recording; the median of the data set.
        utterances: segments of one recording; the mean of the data set.
        runs: number of timed runs of each side.
        passes: number of passes of our side over the calls in one run. One pass takes less than 0.1 s, which is too
            short for a stable time.
        few: factor of `calls` for the smaller archive of the memory measurement.
        many: factor of `calls` for the larger archive.
    """

    calls: int = 20
    call_s: float = 65.0
    utterances: int = 30
    runs: int = 5
    passes: int = 10
    few: int = 10
    many: int = 200


def compare_decoding(size: DecodeSize) -> Comparison:
    """Measures the segments per second of both sides, and the peak memory of the steps that decode.

    Raises:
        BenchmarkError: the two sides return different segments, or a step fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        recordings = write_recordings(Path(folder), size)
        ours = Side(lambda: consumed(shared_segments(recordings * size.passes)), size.runs)
        reference = Side(lambda: consumed(original_segments(recordings)), size.runs)
        # librosa is imported here, by the reference only.
        check_equal(list(shared_segments(recordings[:1])), list(original_segments(recordings[:1])))
        timed, timed_reference = in_turns(ours, reference)
        memory = growth_of_memory(MEMORY_STEPS, recordings, size.few * size.calls, size.many * size.calls, Path(folder))
    segments = size.calls * size.utterances
    rates = timed.rate(segments * size.passes), timed_reference.rate(segments)
    details = {
        "calls": size.calls,
        "call_s": size.call_s,
        "utterances_per_call": size.utterances,
        "sample_rate_hz": CALL_RATE_HZ,
        "processes": 1,
        "memory": memory,
    }
    return by_rate("decode", "utterances/s", *rates, details)


def write_recordings(folder: Path, size: DecodeSize) -> list[Recording]:
    """Writes calls of noise as 8 kHz PCM16 WAV files. Their utterances have random times."""
    import numpy as np
    import soundfile

    recordings = []
    for call in range(size.calls):
        rng = np.random.default_rng(call)
        path = folder / f"{call:024x}_20230101.wav"
        samples = rng.normal(0, 0.1, int(size.call_s * CALL_RATE_HZ))
        soundfile.write(path, samples, CALL_RATE_HZ, subtype="PCM_16")
        starts = np.sort(rng.integers(0, int((size.call_s - 1) * 1000), size.utterances)).tolist()
        times = [(start, start + int(rng.integers(500, 5_000))) for start in starts]
        recordings.append(Recording(path, times))
    return recordings


def shared_segments(recordings: Sequence[Recording]) -> "Iterator[np.ndarray]":
    """Yields the segments. Each file is read once."""
    for recording in recordings:
        yield from recording_segments(recording)


def original_segments(recordings: Sequence[Recording]) -> "Iterator[np.ndarray]":
    """Yields the segments in the groups of the original pipeline. Each file is read again for every segment.

    Source: the preprocessing of the original pipeline, without its threads.
    """
    rows = [(recording.path, *times) for recording in recordings for times in recording.times_ms]
    for first in range(0, len(rows), ORIGINAL_GROUP):
        yield from [_original_segment(*row) for row in rows[first : first + ORIGINAL_GROUP]]


def _original_segment(path: Path, start_ms: int, end_ms: int) -> "np.ndarray":
    import librosa

    waveform, _ = librosa.load(path, sr=SAMPLE_RATE)
    return waveform[int(start_ms / 1000 * SAMPLE_RATE) : int(end_ms / 1000 * SAMPLE_RATE)]


def consumed(segments: "Iterator[np.ndarray]") -> int:
    """The number of samples of all segments. No segment is kept: each one keeps its complete waveform in memory."""
    return sum(map(len, segments))


def check_equal(ours: "list[np.ndarray]", reference: "list[np.ndarray]") -> None:
    """Checks that both sides return the same segments.

    Raises:
        BenchmarkError: two segments differ in length, or by more than TOLERANCE.
    """
    import numpy as np

    pairs = zip(ours, reference, strict=True)
    if not all(len(one) == len(other) and np.allclose(one, other, rtol=0, atol=TOLERANCE) for one, other in pairs):
        raise BenchmarkError(
            "the two sides return different segments", f"equal segments within {TOLERANCE:.1g}", "correct `calls.audio`"
        )
