"""A task with one class is left out at the training set; the other is trained, evaluated and answered."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster import urgency
from urgency_dagster.defs.metadata import evaluation_metadata, training_metadata, training_set_metadata
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import UTTERANCES
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig
from urgency_dagster.urgency.data.dataset import TrainingSetSummary, build_training_set, read_training_set
from urgency_dagster.urgency.evaluation.leak_gap import measure_leak_gap
from urgency_dagster.urgency.training.fit import TrainingSummary, train
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST, write_root

SENTENCE = "Every call of the training side has the sentiment 중립, so sentiment is left out and urgency goes on."


def write_one_sentiment(folder: Path, *, everywhere: bool) -> StoragePaths:
    """All calls of the training side have one sentiment; those of the validation side too, or their own."""
    paths = write_root(folder)
    for archive in ARCHIVES:
        if everywhere or archive.startswith("T_"):
            rows = pq.read_table(paths.archive(archive).utterances).to_pylist()
            table = pa.Table.from_pylist([{**row, "sentiment": "중립"} for row in rows], schema=UTTERANCES)
            write_table(paths.archive(archive).utterances, table)
    return paths


@dataclass(frozen=True)
class Made:
    paths: StoragePaths
    training_set: TrainingSetSummary
    summary: TrainingSummary
    metrics: dict[str, Any]


@pytest.fixture(scope="module", params=[True, False], ids=["everywhere", "on the training side"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, text_model: PretrainedModel) -> Made:
    paths = write_one_sentiment(tmp_path_factory.mktemp("one") / "root", everywhere=request.param)
    training_set = build_training_set(paths, list(ARCHIVES), SplitConfig())
    summary = train(paths, text_model, FAST)
    return Made(paths, training_set, summary, urgency.evaluate(paths, EvaluationConfig(device="cpu")))


def test_the_training_set_says_it(made: Made) -> None:
    assert made.training_set.left_out == SENTENCE
    assert read_training_set(made.paths).labels.tasks == ("urgency",)
    assert training_set_metadata(made.training_set)["left_out"] == SENTENCE


def test_both_tasks_are_trained_otherwise(paths: StoragePaths) -> None:
    summary = build_training_set(paths, list(ARCHIVES), SplitConfig())
    assert (summary.left_out, summary.labels.tasks) == ("", ("urgency", "sentiment"))


def test_urgency_is_trained_and_chosen_alone(made: Made) -> None:
    assert made.metrics["utterance"]["urgency"]["f1_macro"] > made.metrics["majority"]["urgency"]["f1_macro"] + 0.2
    for scores in made.summary.history:
        assert scores.sent_f1 is scores.sent_acc is None
        assert scores.average_f1 == scores.urg_f1
    assert made.summary.best.urg_f1 == max(scores.urg_f1 or 0 for scores in made.summary.history)


def test_no_score_of_the_sentiment_is_shown(made: Made) -> None:
    for section in ("utterance", "call", "majority", "text_only", "audio_only_call"):
        assert made.metrics[section]["sentiment"] is None
        assert made.metrics[section]["average_f1"] == made.metrics[section]["urgency"]["f1_macro"]
    assert "sentiment" not in made.metrics["calibration"]
    report = (made.paths.urgency.evaluation / "report.md").read_text(encoding="utf-8")
    assert f"**{SENTENCE}**" in report
    assert "| left out | left out |" in report
    assert not list(made.paths.urgency.evaluation.glob("confusion_sentiment_*"))
    card = (made.paths.urgency.model / "README.md").read_text(encoding="utf-8")
    assert SENTENCE in card
    assert "| sentiment | left out | left out |" in card


def test_the_pages_show_the_urgency_alone(made: Made) -> None:
    assert "sentiment macro-F1" not in evaluation_metadata(made.metrics)
    assert "best_sentiment_f1_macro" not in training_metadata(made.summary, FAST, 1.0)


def test_an_answer_has_no_sentiment(made: Made, text_model: PretrainedModel) -> None:
    for model in (
        urgency.load_model(made.paths.urgency.model, "cpu"),
        urgency.load_original_checkpoint(made.paths.urgency.checkpoint, text_model, "cpu"),
    ):
        answer = model.predict_utterances(["여기 호흡", "네"], np.zeros((2, 12), np.float32), ["a", "a"])
        assert answer.calls[0].sentiment is answer.utterances[0].sentiment is None
        assert answer.calls[0].urgency is not None
        assert sum(answer.calls[0].urgency.probabilities.values()) == pytest.approx(1)


def test_the_leak_gap_is_that_of_the_urgency(made: Made, text_model: PretrainedModel) -> None:
    assert set(measure_leak_gap(made.paths, text_model, EvaluationConfig(device="cpu")).inflation) == {"urgency"}
