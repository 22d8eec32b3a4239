"""The cost of the prosodic features on a small archive."""

import time
from pathlib import Path

import pytest

from benchmarks.decode import DecodeSize, write_recordings
from benchmarks.memory import ARCHIVE, make_table, write_extracted
from benchmarks.prosody import processor_s, prosody_cost
from urgency_dagster.paths import StoragePaths


def test_waiting_is_no_processor_time() -> None:
    assert processor_s(lambda: time.sleep(0.2)) < 0.1
    assert processor_s(lambda: sum(range(3_000_000))) > 0.01


@pytest.mark.slow
def test_the_cost_is_a_share_of_embedding(paths: StoragePaths, tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path, DecodeSize(calls=2, call_s=20.0, utterances=6))
    write_extracted(paths, recordings, 2)
    make_table(str(paths.root))
    cost = prosody_cost(paths, embedding_s=10.0, audio_s=20.0)
    assert paths.archive(ARCHIVE).prosody.is_file()
    assert cost["embedding_processor_s_per_audio_s"] == 0.5
    assert 0 < cost["processor_s_per_audio_s"] < 0.05
    assert cost["share_of_embedding"] == pytest.approx(cost["processor_s_per_audio_s"] / 0.5)
