from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.scoring_memory import ARCHIVE, TURN_MS, memory_of_scoring, score, write_landed
from urgency_dagster.paths import StoragePaths


def test_every_call_is_scored_and_has_turns_of_other_lengths(paths: StoragePaths) -> None:
    write_landed(paths, 12)
    score(str(paths.root))
    files = paths.scoring(ARCHIVE)
    rows = pq.read_table(files.utterances).to_pylist()
    lengths = [row["end_ms"] - row["start_ms"] for row in rows]
    assert len(rows) == 36
    assert len(set(lengths)) > 30
    assert all(length in TURN_MS for length in lengths)
    assert pq.read_metadata(files.calls).num_rows == 12
    assert pq.read_metadata(files.rejects).num_rows == 0


@pytest.mark.slow
def test_both_archives_are_measured(tmp_path: Path) -> None:
    found = memory_of_scoring(2, 4, tmp_path)
    assert list(found) == ["score_2_calls_mb", "score_4_calls_mb", "score_ratio"]
    assert all(100 < found[f"score_{calls}_calls_mb"] < 3000 for calls in (2, 4))
