from pathlib import Path

import numpy as np
import pytest
import soundfile

from urgency_dagster.bench.decode import (
    DecodeSize,
    check_equal,
    compare_decoding,
    original_segments,
    shared_segments,
    write_recordings,
)
from urgency_dagster.errors import BenchmarkError

pytestmark = pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa.load itself

SMALL = DecodeSize(calls=2, call_s=20.0, utterances=8, runs=2)


def test_the_benchmark_runs_and_reading_once_is_faster():
    comparison = compare_decoding(SMALL)
    assert (comparison.name, comparison.unit) == ("decode", "utterances/s")
    assert (comparison.ours.runs, comparison.reference.runs) == (2, 2)
    assert comparison.details["utterances_per_call"] == 8
    assert 1 < comparison.ratio < 100


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
    ours, reference = shared_segments(recordings), original_segments(recordings)
    assert len(ours) == 16
    check_equal(ours, reference)


@pytest.mark.parametrize("other", [np.zeros(99), np.full(100, 0.001)])
def test_segments_that_differ_cannot_be_compared(other):
    with pytest.raises(BenchmarkError, match="different segments"):
        check_equal([np.zeros(100)], [other])
