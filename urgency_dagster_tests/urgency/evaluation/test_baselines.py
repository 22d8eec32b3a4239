from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import TRAIN, VALIDATION
from urgency_dagster.urgency.evaluation import baselines
from urgency_dagster.urgency.evaluation.baselines import baseline_logits
from urgency_dagster_tests.urgency.conftest import ARCHIVES, write_root

CLASSES = {"urgency": 3, "sentiment": 2}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoragePaths, pa.Table, pa.Table]:
    paths = write_root(tmp_path_factory.mktemp("baselines") / "root")
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    training_set = read_training_set(paths)
    return paths, training_set.side(TRAIN), training_set.side(VALIDATION)


def right(logits: np.ndarray, rows: pa.Table, task: str) -> float:
    return float((logits.argmax(axis=1) == rows[f"{task}_id"].to_numpy()).mean())


def test_each_baseline_uses_its_own_features_only(sides: tuple[StoragePaths, pa.Table, pa.Table]) -> None:
    paths, training, validation = sides
    found = baseline_logits(paths, training, validation, CLASSES, seed=1)
    assert found["text_only"].urgency.shape == (validation.num_rows, 3)
    assert found["audio_only"].sentiment.shape == (validation.num_rows, 2)
    # The words of the fixtures lean to the urgency, the vectors to the sentiment.
    assert right(found["text_only"].urgency, validation, "urgency") > 0.8
    assert right(found["audio_only"].sentiment, validation, "sentiment") > 0.8
    assert right(found["audio_only"].urgency, validation, "urgency") < 0.6
    assert right(found["text_only"].sentiment, validation, "sentiment") < 0.7


def test_the_audio_features_are_all_vectors_of_an_utterance(tmp_path: Path) -> None:
    paths = write_root(tmp_path, tokens=4)
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    training, validation = (read_training_set(paths).side(side) for side in (TRAIN, VALIDATION))
    found = baseline_logits(paths, training, validation, CLASSES, seed=1)
    # Only the last of the four leans to the sentiment.
    assert right(found["audio_only"].sentiment, validation, "sentiment") > 0.8


def test_the_same_seed_gives_the_same_logits(sides: tuple[StoragePaths, pa.Table, pa.Table]) -> None:
    first, second = (baseline_logits(*sides, CLASSES, seed=3) for _ in "12")
    for name, logits in first.items():
        np.testing.assert_array_equal(logits.urgency, second[name].urgency)


def test_validation_rows_do_not_reach_the_models(sides: tuple[StoragePaths, pa.Table, pa.Table]) -> None:
    paths, training, validation = sides
    few = baseline_logits(paths, training, validation.slice(0, 5), CLASSES, seed=1)
    all_rows = baseline_logits(paths, training, validation, CLASSES, seed=1)
    for name, logits in few.items():
        np.testing.assert_allclose(logits.urgency, all_rows[name].urgency[:5], rtol=0, atol=1e-5)


def test_rows_are_read_in_chunks(
    sides: tuple[StoragePaths, pa.Table, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "CHUNK", 7)
    _, _, validation = sides
    found = baseline_logits(*sides, CLASSES, seed=1)
    assert found["text_only"].urgency.shape == (validation.num_rows, 3)
    assert right(found["text_only"].urgency, validation, "urgency") > 0.8
