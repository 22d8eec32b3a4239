import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

from benchmarks.decode import (
    DecodeSize,
    check_equal,
    compare_decoding,
    consumed,
    original_segments,
    shared_segments,
    write_recordings,
)
from urgency_dagster.errors import BenchmarkError

pytestmark = pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa.load itself

SMALL = DecodeSize(calls=2, call_s=20.0, utterances=8, runs=2, few=1, many=2)


@pytest.mark.slow
def test_the_benchmark_runs_and_tells_what_it_found() -> None:
    comparison = compare_decoding(SMALL)
    assert (comparison.name, comparison.unit) == ("decode", "utterances/s")
    assert (comparison.ours.runs, comparison.reference.runs) == (2, 2)
    assert comparison.details["utterances_per_call"] == 8
    assert comparison.ratio == comparison.ours.median / comparison.reference.median
    memory = comparison.details["memory"]
    for step in ("table", "segments"):
        few, many = memory[f"{step}_2_calls_mb"], memory[f"{step}_4_calls_mb"]
        assert 50 < few < 2000
        assert memory[f"{step}_ratio"] == pytest.approx(many / few, abs=0.01)


def test_the_calls_are_like_the_data_sets(tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path, SMALL)
    assert len(recordings) == 2
    for recording in recordings:
        info = soundfile.info(recording.path)
        assert (info.samplerate, info.channels, info.subtype, info.duration) == (8000, 1, "PCM_16", 20.0)
        assert len(recording.times_ms) == 8
        assert all(0 <= start < end - 499 for start, end in recording.times_ms)


def test_both_ways_cut_the_same_segments(tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path, SMALL)
    ours, reference = list(shared_segments(recordings)), list(original_segments(recordings))
    assert len(ours) == 16
    assert all(one.tobytes() == other.tobytes() for one, other in zip(ours, reference, strict=True))
    check_equal(ours, reference)
    assert consumed(iter(ours)) == sum(segment.size for segment in reference)


@pytest.mark.parametrize(("segments_of", "kept"), [(shared_segments, 1), (original_segments, 16)])
def test_each_side_keeps_the_waveforms_that_its_pipeline_keeps(tmp_path: Path, segments_of: Any, kept: int) -> None:
    """A segment is a view of its whole waveform; what is kept without need costs the time of fresh memory."""
    recordings = write_recordings(tmp_path, SMALL)
    alive: set[int] = set()
    most = 0

    def watched() -> Iterator[Any]:
        nonlocal most
        for segment in segments_of(recordings):
            if id(segment.base) not in alive:
                alive.add(id(segment.base))
                weakref.finalize(segment.base, alive.remove, id(segment.base))
            most = max(most, len(alive))
            yield segment
            del segment

    assert consumed(watched()) > 0
    assert (most, len(alive)) == (kept, 0)


def test_the_original_decodes_32_segments_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recording,) = write_recordings(tmp_path, DecodeSize(calls=1, call_s=10.0, utterances=70))
    loaded: list[int] = []
    original = librosa.load

    def counted(*args: Any, **kwargs: Any) -> Any:
        loaded.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(librosa, "load", counted)
    at_segment = [len(loaded) for _ in original_segments([recording])]
    assert at_segment == [32] * 32 + [64] * 32 + [70] * 6


@pytest.mark.parametrize("other", [np.zeros(99), np.full(100, 0.001)])
def test_segments_that_differ_cannot_be_compared(other: Any) -> None:
    with pytest.raises(BenchmarkError, match="different segments"):
        check_equal([np.zeros(100)], [other])
