import weakref
from pathlib import Path

import numpy as np
import pytest
import soundfile

from urgency_dagster.bench.decode import (
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
def test_the_benchmark_runs_and_reading_once_is_faster():
    comparison = compare_decoding(SMALL)
    assert (comparison.name, comparison.unit) == ("decode", "utterances/s")
    assert (comparison.ours.runs, comparison.reference.runs) == (2, 2)
    assert comparison.details["utterances_per_call"] == 8
    assert 1 < comparison.ratio < 100
    memory = comparison.details["memory"]
    assert {"table_2_calls_mb", "table_4_calls_mb", "segments_2_calls_mb", "segments_4_calls_mb"} < memory.keys()
    assert 0.5 < memory["table_ratio"] < 1.5


def test_the_calls_are_like_the_data_sets(tmp_path):
    recordings = write_recordings(tmp_path, SMALL)
    assert len(recordings) == 2
    for recording in recordings:
        info = soundfile.info(recording.path)
        assert (info.samplerate, info.channels, info.subtype, info.duration) == (8000, 1, "PCM_16", 20.0)
        assert len(recording.times_ms) == 8
        assert all(0 <= start < end - 499 for start, end in recording.times_ms)


def test_both_ways_cut_the_same_segments(tmp_path: Path):
    recordings = write_recordings(tmp_path, SMALL)
    ours, reference = list(shared_segments(recordings)), list(original_segments(recordings))
    assert len(ours) == 16
    assert all(one.tobytes() == other.tobytes() for one, other in zip(ours, reference, strict=True))
    check_equal(ours, reference)
    assert consumed(iter(ours)) == sum(segment.size for segment in reference)


def test_no_segment_is_kept(tmp_path: Path):
    """Each is a view of its whole waveform: kept, the reference would hold all of them, and be slow for that."""
    recordings = write_recordings(tmp_path, SMALL)
    held = []

    def watched():
        for segment in original_segments(recordings):
            held.append(weakref.ref(segment.base))
            yield segment
            assert sum(reference() is not None for reference in held) <= 2

    assert consumed(watched()) > 0
    assert len(held) == 16


@pytest.mark.parametrize("other", [np.zeros(99), np.full(100, 0.001)])
def test_segments_that_differ_cannot_be_compared(other):
    with pytest.raises(BenchmarkError, match="different segments"):
        check_equal([np.zeros(100)], [other])
