"""One urgency on the training side: the sentiment goes on alone, and what is about urgency is absent, not passed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster import urgency
from urgency_dagster.defs.evaluation_checks import beats_majority, better_than_parts, not_worse_than_before
from urgency_dagster.defs.metadata import evaluation_metadata, training_metadata, training_set_metadata
from urgency_dagster.errors import TrainingDataError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import UTTERANCES
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig
from urgency_dagster.urgency.data.dataset import TrainingSetSummary, build_training_set, read_training_set
from urgency_dagster.urgency.evaluation.leak_gap import measure_leak_gap
from urgency_dagster.urgency.package.model_folder import read_card
from urgency_dagster.urgency.training.fit import TrainingSummary, train
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST, relabel, write_root

SENTENCE = (
    "Every call of the training side has the urgency 상, so urgency is left out and sentiment goes on. Without urgency "
    "there are no alarms, no abstention, no thresholds, no costs, no time to decision, and no scores by slice or "
    "speaker."
)


def write_one_urgency(folder: Path, *, everywhere: bool) -> StoragePaths:
    """All calls of the training side have one urgency; those of the validation side too, or their own."""
    paths = write_root(folder)
    for archive in ARCHIVES:
        if everywhere or archive.startswith("T_"):
            relabel(paths, archive, lambda _: "상")
    return paths


@dataclass(frozen=True)
class Made:
    paths: StoragePaths
    training_set: TrainingSetSummary
    summary: TrainingSummary
    metrics: dict[str, Any]


@pytest.fixture(scope="module", params=[True, False], ids=["everywhere", "on the training side"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, text_model: PretrainedModel) -> Made:
    paths = write_one_urgency(tmp_path_factory.mktemp("one") / "root", everywhere=request.param)
    training_set = build_training_set(paths, list(ARCHIVES), SplitConfig())
    summary = train(paths, text_model, FAST)
    return Made(paths, training_set, summary, urgency.evaluate(paths, EvaluationConfig(device="cpu")))


def test_the_training_set_says_it(made: Made) -> None:
    assert made.training_set.left_out == SENTENCE
    assert read_training_set(made.paths).labels.tasks == ("sentiment",)
    assert training_set_metadata(made.training_set)["left_out"] == SENTENCE


def test_the_sentiment_is_trained_and_chosen_alone(made: Made) -> None:
    assert made.metrics["utterance"]["sentiment"]["f1_macro"] > made.metrics["majority"]["sentiment"]["f1_macro"] + 0.2
    for scores in made.summary.history:
        assert scores.urg_f1 is scores.urg_acc is None
        assert scores.average_f1 == scores.sent_f1
    assert made.summary.best.sent_f1 == max(scores.sent_f1 or 0 for scores in made.summary.history)


def test_the_urgency_head_is_not_trained(made: Made) -> None:
    """Its loss would teach the shared layers that every call is alike."""
    card = read_card(made.paths.urgency.model)
    assert (card["config"]["urgency_weight"], card["config"]["sentiment_weight"]) == (0, FAST.sentiment_weight)


def test_no_score_of_the_urgency_is_shown(made: Made) -> None:
    metrics = made.metrics
    for section in ("utterance", "call", "majority", "text_only", "audio_only_call", "caller_only"):
        assert metrics[section]["urgency"] is None
        assert metrics[section]["average_f1"] == metrics[section]["sentiment"]["f1_macro"]
    assert metrics["slices"] is metrics["time_to_decision"] is metrics["cost_per_1000_calls"] is None
    assert metrics["high_urgency"] is None
    assert set(metrics["differences"]) == {"sentiment"}
    assert metrics["calibration"]["abstention"] is metrics["calibration"]["thresholds"] is None
    assert set(metrics["calibration"]["call"]) == {"sentiment"}
    assert metrics["left_out"] == SENTENCE


def test_the_report_has_no_section_about_urgency(made: Made) -> None:
    folder = made.paths.urgency.evaluation
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert f"**{SENTENCE}**" in report
    assert "| left out | left out |" in report
    headings = [line for line in report.splitlines() if line.startswith("## ")]
    assert headings == ["## Data", "## Scores", "## Calibration", "## Limits of these scores", "## Pictures"]
    sentences = report.splitlines()[2:7]
    assert sentences[0].startswith("- By call, the sentiment has macro-F1 ")
    assert sentences[2] == "- The model says nothing about 상 (high), because urgency is left out."
    pictures = {picture.name for picture in folder.glob("*.png")}
    kinds = {"confusion_sentiment", "reliability"}
    by_unit = {f"{kind}_{unit}.png" for kind in kinds for unit in ("utterance", "call")}
    assert pictures == by_unit | {"class_counts.png", "learning_curve.png"}
    assert "urgency by" not in (folder / "classification_report.txt").read_text(encoding="utf-8")


def test_the_model_has_no_thresholds(made: Made) -> None:
    facts = read_card(made.paths.urgency.model)
    assert facts["thresholds"] == facts["threshold_fits"] == {}
    assert facts["temperatures"]["utterance"]["urgency"] == 1
    assert urgency.load_model(made.paths.urgency.model, "cpu").model.thresholds == {}


def test_the_card_says_it(made: Made) -> None:
    card = (made.paths.urgency.model / "README.md").read_text(encoding="utf-8")
    assert SENTENCE in card
    assert "| urgency | left out | left out |" in card
    assert card.count("| not offered: urgency is left out |") == 2
    assert "| temperatures for an utterance | sentiment " in card


def test_the_pages_show_the_sentiment_alone(made: Made) -> None:
    assert "urgency macro-F1" not in evaluation_metadata(made.metrics)
    assert "best_urgency_f1_macro" not in training_metadata(made.summary, FAST, 1.0)


def test_the_checks_about_urgency_warn_that_nothing_was_checked(made: Made) -> None:
    """Passed would be a lie, and an error would stop the sentiment."""
    for check in (
        beats_majority(made.metrics),
        not_worse_than_before(made.metrics, made.metrics),
        better_than_parts(made.metrics),
    ):
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert check.description == f"Not checked: {SENTENCE}"


def test_a_model_with_urgency_is_not_compared_with_one_without(made: Made) -> None:
    with_urgency = {"utterance": {"urgency": {"f1_macro": 0.1}}}
    assert not_worse_than_before(with_urgency, made.metrics).passed


def test_an_answer_has_no_urgency(made: Made, text_model: PretrainedModel) -> None:
    for model in (
        urgency.load_model(made.paths.urgency.model, "cpu"),
        urgency.load_original_checkpoint(made.paths.urgency.checkpoint, text_model, "cpu"),
    ):
        answer = model.predict_utterances(["여기 호흡", "네"], np.zeros((2, 12), np.float32), ["a", "a"])
        (call,) = answer.calls
        assert call.urgency is answer.utterances[0].urgency is None
        assert call.abstain is call.alarm is None
        assert call.sentiment is not None
        assert sum(call.sentiment.probabilities.values()) == pytest.approx(1)


def test_the_leak_gap_is_that_of_the_sentiment(made: Made, text_model: PretrainedModel) -> None:
    assert set(measure_leak_gap(made.paths, text_model, EvaluationConfig(device="cpu")).inflation) == {"sentiment"}


def test_one_class_of_both_is_refused(tmp_path: Path) -> None:
    paths = write_one_urgency(tmp_path / "root", everywhere=True)
    for archive in ARCHIVES:
        rows = pq.read_table(paths.archive(archive).utterances).to_pylist()
        table = pa.Table.from_pylist([{**row, "sentiment": "중립"} for row in rows], schema=UTTERANCES)
        write_table(paths.archive(archive).utterances, table)
    message = "every call of the training side has the urgency 상 and the sentiment 중립; expected two classes"
    with pytest.raises(TrainingDataError, match=message):
        build_training_set(paths, list(ARCHIVES), SplitConfig())
    assert not paths.urgency.rows.exists()


def test_the_exported_model_answers_without_urgency_too(made: Made) -> None:
    summary = urgency.export_model(made.paths)
    assert summary.max_difference < 1e-5
    asked = ["여기 호흡"], np.zeros((1, 12), np.float32), ["a"]
    for model in (
        urgency.load_model(made.paths.urgency.model, "cpu"),
        urgency.load_model(made.paths.urgency.export, engine="openvino"),
    ):
        (call,) = model.predict_utterances(*asked).calls
        assert (call.urgency, call.alarm, call.abstain) == (None, None, None)
        assert call.sentiment
