"""The speaker model: what it learns, on which calls it is measured, and when there is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from urgency_dagster.listening import load_speaker_model
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.batches import read_vectors
from urgency_dagster.urgency.data.dataset import TrainingSet, build_training_set, read_training_set
from urgency_dagster.urgency.package.model_folder import load_urgency_model, read_card
from urgency_dagster.urgency.training import speaker as speaker_module
from urgency_dagster.urgency.training.fit import train
from urgency_dagster.urgency.training.speaker import _sides, fit_speaker_model
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST, write_vectors

AUDIBLE = 5
"""The element of a vector that tells the speaker."""


def with_speakers(paths: StoragePaths, speaker: Callable[[int], int | None]) -> None:
    """Gives every utterance another speaker, by its row."""
    for archive in ARCHIVES:
        rows = pq.read_table(paths.archive(archive).utterances)
        values = pa.array([speaker(row) for row in range(rows.num_rows)], pa.int64())
        place = rows.schema.get_field_index("speaker")
        write_table(paths.archive(archive).utterances, rows.set_column(place, rows.schema.field(place), values))


def make_audible(paths: StoragePaths) -> None:
    """Lets the vectors tell the speaker of most utterances."""
    for archive in ARCHIVES:
        speakers = pq.read_table(paths.archive(archive).utterances)["speaker"].fill_null(0).to_numpy()
        vectors = np.load(paths.archive(archive).vectors)
        vectors[..., AUDIBLE] += 3 * speakers[:, None] if vectors.ndim == 3 else 3 * speakers
        write_vectors(paths, archive, vectors)


def built(paths: StoragePaths, split: SplitConfig | None = None) -> TrainingSet:
    build_training_set(paths, list(ARCHIVES), split or SplitConfig())
    return read_training_set(paths)


def test_it_tells_the_speaker_and_is_measured_on_other_calls(paths: StoragePaths) -> None:
    make_audible(paths)
    training_set = built(paths)
    model = fit_speaker_model(paths, training_set, 42)
    assert model is not None
    assert np.abs(model.weights).argmax() == AUDIBLE
    scores, development = model.scores, training_set.side("development")
    low, high = scores["accuracy_interval"]
    assert 0.8 < low < scores["accuracy"] < high <= 1
    assert scores["accuracy"] > scores["majority"] + 0.2
    calls = training_set.summary.calls["development"]
    assert scores["measured"] == {"calls": calls, "utterances": development.num_rows}
    assert {"f1_macro", "recall_caller", "recall_call_taker_interval"} <= set(scores)


def test_the_accuracy_is_that_of_the_development_side(paths: StoragePaths) -> None:
    make_audible(paths)
    training_set = built(paths)
    model = fit_speaker_model(paths, training_set, 42)
    assert model is not None
    rows = training_set.side("development")
    correct = model.roles(read_vectors(paths, rows)) == rows["speaker"].to_numpy()
    assert model.scores["accuracy"] == pytest.approx(correct.mean())


def test_the_scale_of_a_vectors_elements_does_not_matter(paths: StoragePaths) -> None:
    make_audible(paths)
    model = fit_speaker_model(paths, built(paths), 42)
    for archive in ARCHIVES:
        vectors = np.load(paths.archive(archive).vectors)
        write_vectors(paths, archive, (vectors * 4.0 ** np.arange(-6, 6) + 3).astype(np.float32))
    scaled = fit_speaker_model(paths, built(paths), 42)
    assert model is not None
    assert scaled is not None
    assert scaled.scores["accuracy"] == pytest.approx(model.scores["accuracy"], abs=0.02)


def test_noise_is_no_better_than_the_more_frequent_speaker(paths: StoragePaths) -> None:
    model = fit_speaker_model(paths, built(paths), 42)
    assert model is not None
    assert model.scores["accuracy_interval"][0] < 0.6


def test_several_vectors_of_an_utterance_are_averaged(paths: StoragePaths) -> None:
    for archive in ARCHIVES:
        one = np.load(paths.archive(archive).vectors)
        write_vectors(paths, archive, np.stack([one, one, one], axis=1))
    make_audible(paths)
    model = fit_speaker_model(paths, built(paths), 42)
    assert model is not None
    assert model.weights.shape == (12,)
    assert model.scores["accuracy"] > 0.8


@pytest.mark.parametrize(
    "split",
    [
        SplitConfig(mode="utterance"),
        SplitConfig(mode="utterance", selection="validation"),
        SplitConfig(selection="validation"),
        SplitConfig(protocol="original"),
    ],
    ids=["utterance", "utterance without development", "official without development", "original"],
)
def test_every_split_is_measured_on_other_calls(paths: StoragePaths, split: SplitConfig) -> None:
    make_audible(paths)
    training, measured = _sides(built(paths, split), 42)
    assert measured.num_rows
    assert not set(training["_id"].to_pylist()) & set(measured["_id"].to_pylist())


@pytest.mark.parametrize("only", [0, 1, None, 7])
def test_without_two_speakers_there_is_none(paths: StoragePaths, only: int | None) -> None:
    with_speakers(paths, lambda row: only)
    assert fit_speaker_model(paths, built(paths), 42) is None


def test_utterances_without_a_known_speaker_are_left_out(paths: StoragePaths) -> None:
    with_speakers(paths, lambda row: [0, 1, None, 7][row % 4])
    make_audible(paths)
    training_set = built(paths)
    model = fit_speaker_model(paths, training_set, 42)
    assert model is not None
    known = pc.is_in(training_set.side("train")["speaker"], pa.array([0, 1]))
    assert model.scores["training"]["utterances"] == pc.sum(known).as_py()


def test_other_calls_without_speakers_give_no_accuracy(paths: StoragePaths) -> None:
    make_audible(paths)
    rows = pq.read_table(paths.archive("V_광주_구급").utterances)
    place = rows.schema.get_field_index("speaker")
    unknown = pa.nulls(rows.num_rows, pa.int64())
    write_table(paths.archive("V_광주_구급").utterances, rows.set_column(place, rows.schema.field(place), unknown))
    model = fit_speaker_model(paths, built(paths, SplitConfig(selection="validation")), 42)
    assert model is not None
    assert set(model.scores) == {"training", "measured"}
    assert model.scores["measured"] == {"calls": 0, "utterances": 0}


def test_a_large_training_side_is_sampled(paths: StoragePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    make_audible(paths)
    monkeypatch.setattr(speaker_module, "MAX_FIT_ROWS", 40)
    model = fit_speaker_model(paths, built(paths), 42)
    assert model is not None
    assert model.scores["accuracy"] > 0.7


def test_a_training_stores_it_with_its_scores(paths: StoragePaths, text_model: PretrainedModel) -> None:
    make_audible(paths)
    built(paths)
    summary = train(paths, text_model, FAST.changed(epochs=1))
    folder = paths.urgency.model
    model = load_speaker_model(folder / "speaker.json")
    assert model is not None
    assert read_card(folder)["speaker"] == model.scores == summary.speaker
    assert f"accuracy {model.scores['accuracy']:.3f}" in (folder / "README.md").read_text()
    first = (folder / "speaker.json").read_bytes()
    train(paths, text_model, FAST.changed(epochs=1))
    assert (folder / "speaker.json").read_bytes() == first
    stored = load_urgency_model(folder).speaker
    assert stored is not None
    assert stored.to_json() == model.to_json()


def test_a_training_without_speakers_says_so(paths: StoragePaths, text_model: PretrainedModel, tmp_path: Path) -> None:
    with_speakers(paths, lambda row: None)
    built(paths)
    assert train(paths, text_model, FAST.changed(epochs=1)).speaker is None
    folder = paths.urgency.model
    assert not (folder / "speaker.json").exists()
    assert read_card(folder)["speaker"] is None
    assert "not told: the training side does not have both values" in (folder / "README.md").read_text()
    assert load_urgency_model(folder).speaker is None
