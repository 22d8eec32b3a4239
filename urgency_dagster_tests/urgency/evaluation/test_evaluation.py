import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.statistics.calibration import probabilities, reliability
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import URGENCY_PREDICTIONS, VALIDATION
from urgency_dagster.urgency.evaluation.evaluation import evaluate, read_metrics
from urgency_dagster.urgency.package.model_folder import load_urgency_model
from urgency_dagster_tests.urgency.conftest import ARCHIVES, Trained, train_and_evaluate

CONFIG = EvaluationConfig(device="cpu")


@pytest.fixture(scope="module")
def stored(trained: Trained) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((trained.paths.urgency.evaluation / "metrics.json").read_text("utf-8"))
    return metrics


@pytest.fixture(scope="module")
def predictions(trained: Trained) -> pa.Table:
    return pq.read_table(trained.paths.urgency.evaluation / "predictions.parquet")


def test_the_stored_metrics_are_those_returned(stored: dict[str, Any], trained: Trained) -> None:
    assert stored == trained.metrics


@pytest.mark.parametrize("name", ["text_only", "audio_only"])
def test_a_baseline_is_better_than_the_majority(stored: dict[str, Any], name: str) -> None:
    assert stored[name]["n"] == stored["utterance"]["n"]
    assert stored[f"{name}_call"]["n"] == stored["call"]["n"]
    task = "urgency" if name == "text_only" else "sentiment"  # what the words and the vectors of the fixtures lean to
    assert stored[name][task]["f1_macro"] > stored["majority"][task]["f1_macro"] + 0.1


@pytest.mark.parametrize(
    "unit", ["utterance", "call", "majority", "majority_call", "text_only", "audio_only", "text_only_call"]
)
def test_every_unit_has_the_same_shape(stored: dict[str, Any], unit: str) -> None:
    scores = {"accuracy", "f1_macro"}
    dangers = {"recall_high", "high_read_as_low"}
    assert stored[unit].keys() == {"urgency", "sentiment", "average_f1", "average_f1_interval", "n"}
    assert stored[unit]["sentiment"].keys() == {f"{name}{end}" for name in scores for end in ("", "_interval")}
    assert stored[unit]["urgency"].keys() == {f"{name}{end}" for name in scores | dangers for end in ("", "_interval")}
    mean = (stored[unit]["urgency"]["f1_macro"] + stored[unit]["sentiment"]["f1_macro"]) / 2
    assert stored[unit]["average_f1"] == mean


@pytest.mark.parametrize("unit", ["utterance", "call", "text_only", "caller_only"])
def test_intervals_surround_their_scores(stored: dict[str, Any], unit: str) -> None:
    for scores in (stored[unit], stored[unit]["urgency"], stored[unit]["sentiment"]):
        for name in {"accuracy", "f1_macro", "recall_high", "average_f1"} & scores.keys():
            low, high = scores[f"{name}_interval"]
            assert low <= scores[name] <= high, (unit, name)
            assert low < high or scores[name] == 1, (unit, name)


def test_utterance_scores_follow_from_the_predictions(stored: dict[str, Any], predictions: pa.Table) -> None:
    for task, classes in (("urgency", 3), ("sentiment", 2)):
        true, predicted = (predictions[f"{task}_{name}"].to_numpy() for name in ("id", "predicted"))
        assert stored["utterance"][task]["accuracy"] == pytest.approx(accuracy_score(true, predicted))
        macro = f1_score(true, predicted, labels=range(classes), average="macro", zero_division=0)
        assert stored["utterance"][task]["f1_macro"] == pytest.approx(macro)


def test_call_scores_follow_from_the_mean_logits(stored: dict[str, Any], predictions: pa.Table) -> None:
    frame = predictions.to_pandas()
    grouped = frame.groupby("_id")
    predicted = grouped["urgency_logits"].agg(lambda logits: np.mean(np.stack(list(logits)), axis=0).argmax())
    true = grouped["urgency_id"].first()
    assert stored["call"]["n"] == len(true)
    assert stored["call"]["urgency"]["accuracy"] == pytest.approx(accuracy_score(true, predicted.astype(int)))
    high = true == 2
    assert stored["call"]["urgency"]["recall_high"] == pytest.approx((predicted[high] == 2).mean())
    assert stored["call"]["urgency"]["high_read_as_low"] == pytest.approx((predicted[high] == 0).mean())


def test_a_difference_is_that_of_the_scores_by_call(stored: dict[str, Any]) -> None:
    for task in ("urgency", "sentiment"):
        assert set(stored["differences"][task]) == {"majority", "text_only", "audio_only"}
        for name, difference in stored["differences"][task].items():
            for score in ("accuracy", "f1_macro"):
                expected = stored["call"][task][score] - stored[f"{name}_call"][task][score]
                assert difference[score] == pytest.approx(expected)
                low, high = difference[f"{score}_interval"]
                assert low <= difference[score] <= high


def test_the_alarms_follow_from_the_predictions(
    stored: dict[str, Any], trained: Trained, predictions: pa.Table
) -> None:
    calls = predictions.to_pandas().groupby("_id")
    mean = np.stack(calls["urgency_logits"].agg(lambda of_call: np.mean(np.stack(of_call), axis=0)).to_list())
    temperature = load_urgency_model(trained.paths.urgency.model).temperatures["call"]["urgency"]
    of_high = probabilities(mean.astype(np.float32), temperature)[:, 2]
    is_high = calls["urgency_id"].first().to_numpy() == 2
    found = stored["high_urgency"]
    assert found["calls"] == is_high.sum()
    points = [point for point in found["curve"] if point["precision"] is not None]
    assert len(points) > 20
    for point in points:
        alarm = of_high >= point["threshold"]
        assert point["precision"] == pytest.approx(precision_score(is_high, alarm))
        assert point["recall"] == pytest.approx(recall_score(is_high, alarm))


def test_only_validation_rows_are_predicted_in_their_order(predictions: pa.Table, trained: Trained) -> None:
    rows = read_training_set(trained.paths).side(VALIDATION)
    assert predictions.schema.equals(URGENCY_PREDICTIONS)
    for column in ("archive", "_id", "utterance_id", "urgency_id", "sentiment_id"):
        assert predictions[column].to_pylist() == rows[column].to_pylist()


def test_the_majority_is_that_of_the_training_side(stored: dict[str, Any], trained: Trained) -> None:
    summary = read_training_set(trained.paths).summary
    counts = summary.class_counts["train"]["urgency"]
    frequent = max(counts, key=lambda name: counts[name])
    share = summary.class_counts["validation"]["urgency"][frequent] / summary.utterances["validation"]
    assert stored["majority"]["urgency"]["accuracy"] == pytest.approx(share)
    assert stored["majority"]["n"] == stored["utterance"]["n"] == summary.utterances["validation"]
    assert stored["majority_call"]["n"] == stored["call"]["n"] == summary.calls["validation"]


def test_the_slices_of_a_division_add_up_to_all_rows(stored: dict[str, Any], trained: Trained) -> None:
    rows = trained.metrics["utterance"]["n"]
    assert set(stored["slices"]) == {
        "region", "category", "disasterMedium", "gender", "speaker", "segment_length", "call_length",
    }  # fmt: skip
    for division, parts in stored["slices"].items():
        assert sum(scores["n"] for scores in parts.values()) == rows, division
    assert set(stored["slices"]["speaker"]) == {"call taker", "caller"}


@pytest.mark.parametrize(("name", "speaker"), [("caller_only", 1), ("taker_only", 0)])
def test_scores_of_one_speaker_are_by_call(
    stored: dict[str, Any], predictions: pa.Table, trained: Trained, name: str, speaker: int
) -> None:
    rows = read_training_set(trained.paths).side(VALIDATION)
    frame = predictions.to_pandas().assign(speaker=rows["speaker"].to_pylist())
    grouped = frame[frame["speaker"] == speaker].groupby("_id")
    predicted = grouped["urgency_logits"].agg(lambda logits: np.mean(np.stack(list(logits)), axis=0).argmax())
    assert stored[name]["n"] == len(predicted)
    assert stored[name]["urgency"]["accuracy"] == pytest.approx((predicted == grouped["urgency_id"].first()).mean())


def test_the_last_time_to_decision_is_the_whole_call(stored: dict[str, Any]) -> None:
    last = stored["time_to_decision"][-1]
    assert last["decided"] == 1
    for name in ("accuracy", "recall_high"):
        assert last[name] == pytest.approx(stored["call"]["urgency"][name])
        assert last[f"{name}_interval"] == pytest.approx(stored["call"]["urgency"][f"{name}_interval"])


def test_the_calibration_is_that_of_the_model_folder(
    stored: dict[str, Any], trained: Trained, predictions: pa.Table
) -> None:
    temperatures = load_urgency_model(trained.paths.urgency.model).temperatures
    frame = predictions.to_pandas()
    calls = frame.groupby("_id", sort=False)
    for task in ("urgency", "sentiment"):
        logits = np.stack(frame[f"{task}_logits"].tolist())
        means = np.stack([np.mean(np.stack(of_call.tolist()), axis=0) for _, of_call in calls[f"{task}_logits"]])
        levels = {
            "utterance": (logits, frame[f"{task}_id"].to_numpy(), stored["calibration"][task]),
            "call": (means, calls[f"{task}_id"].first().to_numpy(), stored["calibration"]["call"][task]),
        }
        for level, (of_level, true, found) in levels.items():
            assert found["temperature"] == temperatures[level][task]
            for when, temperature in (("before", 1.0), ("after", temperatures[level][task])):
                of_classes = probabilities(of_level, temperature)
                assert found[f"ece_{when}"] == pytest.approx(reliability(of_classes, true).error)
                expected = log_loss(true, of_classes, labels=range(of_level.shape[1]))
                assert found[f"nll_{when}"] == pytest.approx(expected)
                low, high = found[f"nll_{when}_interval"]
                assert low < expected < high
    nobody_asked, of_calls = stored["calibration"]["abstention"][0], stored["call"]["urgency"]
    assert nobody_asked["accuracy"] == of_calls["accuracy"]
    low, high = nobody_asked["accuracy_interval"]
    assert low < of_calls["accuracy"] < high
    assert (low, high) == pytest.approx(of_calls["accuracy_interval"], abs=0.1)


def test_the_thresholds_are_those_of_the_model_folder_on_calls(
    stored: dict[str, Any], trained: Trained, predictions: pa.Table
) -> None:
    model = load_urgency_model(trained.paths.urgency.model)
    assert set(model.thresholds) == {"answer_from", "alarm_from"}
    mean = (
        predictions.to_pandas().groupby("_id")["urgency_logits"].agg(lambda of_call: np.mean(np.stack(of_call), axis=0))
    )
    of_calls = probabilities(np.stack(mean).astype(np.float32), model.temperatures["call"]["urgency"])
    found = stored["calibration"]["thresholds"]
    assert {name: of_name["threshold"] for name, of_name in found.items()} == model.thresholds
    stands = of_calls.max(axis=1) >= model.thresholds["answer_from"]
    assert found["answer_from"]["to_person"] == pytest.approx(1 - stands.mean())


def test_the_cost_is_that_of_the_calls(stored: dict[str, Any], copied: StoragePaths) -> None:
    assert stored["cost_per_1000_calls"]["model"] < stored["cost_per_1000_calls"]["majority"]
    errors = tuple(tuple(float(true != read) for read in range(3)) for true in range(3))
    again = evaluate(copied, CONFIG.changed(cost_matrix=errors))
    wrong = 1 - again["call"]["urgency"]["accuracy"]
    assert again["cost_per_1000_calls"]["model"] == pytest.approx(1000 * wrong)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> StoragePaths:
    """A trained storage root that may be evaluated again."""
    return StoragePaths(shutil.copytree(trained.paths.root, tmp_path / "copied"))


def test_the_size_of_a_batch_does_not_change_the_predictions(
    trained: Trained, copied: StoragePaths, predictions: pa.Table
) -> None:
    again = evaluate(copied, CONFIG.changed(batch_size=7))
    assert again["utterance"]["urgency"]["accuracy"] == trained.metrics["utterance"]["urgency"]["accuracy"]
    logits = pq.read_table(copied.urgency.evaluation / "predictions.parquet")["urgency_logits"]
    np.testing.assert_allclose(logits.to_pylist(), predictions["urgency_logits"].to_pylist(), atol=1e-5)


def test_progress_reaches_every_utterance(trained: Trained, copied: StoragePaths) -> None:
    seen = []

    def progress(done: int, total: int, **figures: float) -> None:
        seen.append((done, total))

    evaluate(copied, CONFIG, progress)
    rows = trained.metrics["utterance"]["n"]
    assert seen[-1] == (rows, rows)


def test_a_model_of_another_training_set_is_refused(paths: StoragePaths, text_model: PretrainedModel) -> None:
    train_and_evaluate(paths, text_model)
    build_training_set(paths, list(ARCHIVES)[1:], SplitConfig())
    with pytest.raises(ArtefactError, match="another training set"):
        evaluate(paths, CONFIG)


def test_the_stored_metrics_are_read_back_and_a_damaged_file_is_none(trained: Trained, copied: StoragePaths) -> None:
    assert read_metrics(copied) == trained.metrics
    target = copied.urgency.evaluation / "metrics.json"
    target.write_text("{damaged")
    assert read_metrics(copied) is None
    target.unlink()
    assert read_metrics(copied) is None


def test_a_missing_training_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no training set"):
        evaluate(StoragePaths(tmp_path), CONFIG)
