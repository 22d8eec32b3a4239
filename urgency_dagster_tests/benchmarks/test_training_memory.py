from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.training_memory import ARCHIVES, STEPS, memory_of_training, write_archive
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import UTTERANCES


def test_an_archive_is_as_the_calls_pipeline_leaves_it(paths: StoragePaths) -> None:
    write_archive(paths, ARCHIVES[0], 5, 0)
    rows = pq.read_table(paths.archive(ARCHIVES[0]).utterances)
    assert rows.schema.equals(UTTERANCES)
    assert (rows.num_rows, len(rows["_id"].unique()), len(rows["audio_sha256"].unique())) == (150, 5, 5)
    vectors = np.load(paths.archive(ARCHIVES[0]).vectors, mmap_mode="r")
    assert vectors.shape == (150, 1024)
    assert paths.archive(ARCHIVES[0]).vectors.stat().st_blocks * 512 < vectors.nbytes / 2, "it takes no room"


@pytest.mark.slow
def test_every_step_is_measured(tmp_path: Path) -> None:
    found = memory_of_training(1000, tmp_path)
    assert list(found) == ["utterances", *(f"{step}_mb" for step in STEPS)]
    assert found["utterances"] == 2160
    assert all(50 < found[f"{step}_mb"] < 3000 for step in STEPS)
    assert (StoragePaths(tmp_path).urgency.evaluation / "metrics.json").is_file()
