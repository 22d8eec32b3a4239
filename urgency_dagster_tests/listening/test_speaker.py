"""A linear model says who speaks, and a file that is no such model is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from urgency_dagster.errors import ArtefactError, InputError
from urgency_dagster.listening import SpeakerModel, load_speaker_model
from urgency_dagster.writing import write_json

MODEL = SpeakerModel(np.array([1.0, -2.0, 0.25]), -0.5, {"accuracy": 0.875})


def test_a_sum_above_zero_is_the_caller() -> None:
    vectors = np.array([[[1, 0, 0]], [[0, 0, 0]], [[0.5, 0, 0]], [[0, -1, 0]]], np.float32)
    assert MODEL.speakers(vectors) == ["caller", "call_taker", "call_taker", "caller"]
    assert MODEL.roles(vectors).tolist() == [1, 0, 0, 1]


def test_several_vectors_of_a_turn_count_as_their_mean() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4, 3)).astype(np.float32)
    assert MODEL.speakers(vectors) == MODEL.speakers(vectors.mean(axis=1, keepdims=True, dtype=np.float64))


def test_no_turn_has_no_speaker() -> None:
    assert MODEL.speakers(np.empty((0, 1, 3), np.float32)) == []


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 4), (3,)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="speech model of the training"):
        MODEL.speakers(np.zeros(shape, np.float32))


def test_the_file_gives_the_same_model(tmp_path: Path) -> None:
    write_json(tmp_path / "speaker.json", MODEL.to_json())
    stored = load_speaker_model(tmp_path / "speaker.json")
    assert stored is not None
    assert stored.weights.tolist() == MODEL.weights.tolist()
    assert (stored.bias, stored.scores) == (MODEL.bias, MODEL.scores)


def test_no_file_is_no_model(tmp_path: Path) -> None:
    assert load_speaker_model(tmp_path / "speaker.json") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"weights": [1], "bias": 0}',
        '{"weights": [[1, 2], [3, 4]], "bias": 0, "scores": {}}',
        '{"weights": ["a"], "bias": 0, "scores": {}}',
        '{"weights": 3, "bias": 0, "scores": {}}',
        '{"weights": [1], "bias": null, "scores": {}}',
        json.dumps({"weights": [1], "bias": 0, "scores": {}})[:-4],
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "speaker.json").write_text(content)
    with pytest.raises(ArtefactError, match="train the model again"):
        load_speaker_model(tmp_path / "speaker.json")
