"""Validation calls that go through the server, beside their evaluation."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from urgency_dagster import extras
from urgency_dagster.defs.evaluation_checks import same_when_served
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import Parity, measure_parity, parity
from urgency_dagster.writing import read_json, write_json
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.urgency.spoken import SPOKEN_ARCHIVES

CALLS = SPOKEN_ARCHIVES["V_광주_구급"]


@pytest.fixture
def changed(served_root: ServedRoot, tmp_path: Path) -> StoragePaths:
    """A copy that a test may change."""
    shutil.copytree(served_root.paths.root, tmp_path / "root")
    return StoragePaths(tmp_path / "root")


def change_one_logit(paths: StoragePaths, by: float) -> None:
    """Changes the urgency logits of the last utterance in `predictions.parquet`."""
    file = paths.urgency.evaluation / "predictions.parquet"
    table = pq.read_table(file)
    rows = table["urgency_logits"].to_pylist()
    rows[-1][0] += by
    place = table.schema.get_field_index("urgency_logits")
    column = pa.array(rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), file)


def test_every_validation_call_has_the_probabilities_of_the_evaluation(served_root: ServedRoot) -> None:
    found = measure_parity(served_root.paths.root)
    assert (found.asked, found.calls, found.refused, found.absent, found.not_measured) == (CALLS, CALLS, 0, 0, "")
    assert found.max_difference is not None
    assert found.max_difference <= 1e-5 == found.limit
    assert same_when_served(found).passed


def test_one_changed_probability_of_the_evaluation_is_found(changed: StoragePaths) -> None:
    change_one_logit(changed, 5)
    found = measure_parity(changed.root)
    assert found.max_difference is not None
    assert found.max_difference > 1e-3
    check = same_when_served(found)
    assert not check.passed
    assert "refused 0 of 8 calls" in str(check.description)


def test_a_recording_that_the_server_refuses_fails(changed: StoragePaths) -> None:
    damaged = next(changed.archive("V_광주_구급").audio.rglob("*.wav"))
    damaged.write_bytes(b"no recording")
    found = measure_parity(changed.root)
    assert (found.asked, found.calls, found.refused) == (CALLS, CALLS - 1, 1)
    check = same_when_served(found)
    assert not check.passed
    assert "refused 1 of 8 calls" in str(check.description)


def test_a_recording_that_ends_early_loses_utterances_and_fails(changed: StoragePaths) -> None:
    import soundfile

    for file in changed.archive("V_광주_구급").audio.rglob("*.wav"):
        waveform, rate = soundfile.read(file, dtype="float32")
        soundfile.write(file, waveform[: len(waveform) // 2], rate)
    assert not measure_parity(changed.root).passed


def test_deleted_recordings_are_said_and_block_nothing(changed: StoragePaths) -> None:
    shutil.rmtree(changed.archive("V_광주_구급").audio)
    found = measure_parity(changed.root)
    assert (found.asked, found.absent, found.max_difference) == (CALLS, CALLS, None)
    check = same_when_served(found)
    assert (check.passed, str(check.severity.value)) == (False, "WARN")
    assert check.description == "Not checked: no recording of these calls is on disk"


def test_a_sample_is_spread_over_the_validation_side(served_root: ServedRoot) -> None:
    rows = pq.read_table(served_root.paths.urgency.evaluation / "predictions.parquet")
    names = pc.unique(rows["_id"]).to_pylist()
    assert pc.unique(parity._spread(rows, 3)["_id"]).to_pylist() == [names[0], names[3], names[-1]]
    assert parity._spread(rows, 100).equals(rows)
    assert measure_parity(served_root.paths.root, calls=3).calls == 3


def test_another_evaluation_than_that_of_the_model_is_not_compared(changed: StoragePaths) -> None:
    file = changed.urgency.evaluation / "metrics.json"
    write_json(file, read_json(file) | {"data_sha256": "another"})
    found = measure_parity(changed.root)
    assert "no evaluation of the stored model" in found.not_measured
    assert not found.calls


def test_a_root_without_its_speech_model_is_not_checked(changed: StoragePaths, tmp_path: Path) -> None:
    changed.settings_env.write_text(f"URGENCY_SPEECH_MODEL={tmp_path / 'nothing'}\n", encoding="utf-8")
    found = measure_parity(changed.root)
    assert found.not_measured.startswith("the server has no urgency model: ")
    assert str(tmp_path / "nothing") in found.not_measured
    assert not same_when_served(found).passed


def test_without_the_extra_it_is_not_checked(served_root: ServedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    check = same_when_served(measure_parity(served_root.paths.root))
    assert "the extra `serve`" in str(check.description)
    assert (check.passed, check.severity.value) == (False, "WARN")


def test_an_answer_without_a_figure_passes_no_refused_call() -> None:
    assert not Parity(asked=1, refused=1, limit=1e-5).passed
