"""The demo's recordings without labels, scored by whole processes with the model of a finished run."""

from pathlib import Path

import pyarrow.parquet as pq

from urgency_dagster.demo.unlabelled import FOLDER, unlabelled_recordings
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import count_scored
from urgency_dagster_tests.defs.conftest import run_command


def test_each_recording_has_a_row_or_a_reason_and_a_second_run_does_nothing(finished_root: Path) -> None:
    paths = StoragePaths(finished_root)
    for name, content in unlabelled_recordings(7).items():
        (paths.landing_scoring / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.landing_scoring / name).write_bytes(content)
    done = run_command(finished_root, "--only", "scoring")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = count_scored(paths, FOLDER)
    assert counts.recordings == 3
    assert (counts.lost_recordings, counts.lost_utterances) == (0, 0)
    assert counts.calls + counts.rejected["recordings"].total() == 3
    texts = pq.read_table(paths.scoring(FOLDER).utterances, columns=["text"])["text"].to_pylist()
    said = done.stdout + done.stderr
    assert not [text for text in texts if text and len(text) > 4 and text in said]
    assert "nothing to do" in run_command(finished_root, "--only", "scoring").stdout
