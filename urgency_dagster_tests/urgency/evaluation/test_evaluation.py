import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.statistics.calibration import probabilities, reliability
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import URGENCY_PREDICTIONS, VALIDATION
from urgency_dagster.urgency.evaluation.evaluation import evaluate, read_metrics
from urgency_dagster.urgency.package.model_folder import load_urgency_model
from urgency_dagster_tests.urgency.conftest import ARCHIVES, train_and_judge

CONFIG = EvaluationConfig(device="cpu")


@pytest.fixture(scope="module")
def stored(trained):
    return json.loads((trained.paths.urgency.evaluation / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def predictions(trained):
    return pq.read_table(trained.paths.urgency.evaluation / "predictions.parquet")


def test_the_stored_metrics_are_those_returned(stored, trained):
    assert stored == trained.metrics


@pytest.mark.parametrize("name", ["text_only", "audio_only"])
def test_a_baseline_that_sees_one_side_learns_something(stored, name):
    assert stored[name]["n"] == stored["utterance"]["n"]
    assert stored[f"{name}_call"]["n"] == stored["call"]["n"]
    task = "urgency" if name == "text_only" else "sentiment"  # what the words and the vectors of the fixtures lean to
    assert stored[name][task]["f1_macro"] > stored["majority"][task]["f1_macro"] + 0.1


@pytest.mark.parametrize(
    "unit", ["utterance", "call", "majority", "majority_call", "text_only", "audio_only", "text_only_call"]
)
def test_every_unit_has_the_same_shape(stored, unit):
    scores = {"accuracy", "f1_macro"}
    dangers = {"recall_high", "high_read_as_low"}
    assert stored[unit].keys() == {"urgency", "sentiment", "average_f1", "average_f1_interval", "n"}
    assert stored[unit]["sentiment"].keys() == {f"{name}{end}" for name in scores for end in ("", "_interval")}
    assert stored[unit]["urgency"].keys() == {f"{name}{end}" for name in scores | dangers for end in ("", "_interval")}
    mean = (stored[unit]["urgency"]["f1_macro"] + stored[unit]["sentiment"]["f1_macro"]) / 2
    assert stored[unit]["average_f1"] == mean


@pytest.mark.parametrize("unit", ["utterance", "call", "text_only", "caller_only"])
def test_intervals_surround_their_scores(stored, unit):
    for scores in (stored[unit], stored[unit]["urgency"], stored[unit]["sentiment"]):
        for name in {"accuracy", "f1_macro", "recall_high", "average_f1"} & scores.keys():
            low, high = scores[f"{name}_interval"]
            assert low <= scores[name] <= high, (unit, name)
            assert low < high or scores[name] == 1, (unit, name)


def test_utterance_scores_follow_from_the_predictions(stored, predictions):
    for task, classes in (("urgency", 3), ("sentiment", 2)):
        true, predicted = (predictions[f"{task}_{name}"].to_numpy() for name in ("id", "predicted"))
        assert stored["utterance"][task]["accuracy"] == pytest.approx(accuracy_score(true, predicted))
        macro = f1_score(true, predicted, labels=range(classes), average="macro", zero_division=0)
        assert stored["utterance"][task]["f1_macro"] == pytest.approx(macro)


def test_call_scores_follow_from_the_mean_logits(stored, predictions):
    frame = predictions.to_pandas()
    grouped = frame.groupby("_id")
    predicted = grouped["urgency_logits"].agg(lambda logits: np.mean(np.stack(list(logits)), axis=0).argmax())
    true = grouped["urgency_id"].first()
    assert stored["call"]["n"] == len(true)
    assert stored["call"]["urgency"]["accuracy"] == pytest.approx(accuracy_score(true, predicted.astype(int)))
    high = true == 2
    assert stored["call"]["urgency"]["recall_high"] == pytest.approx((predicted[high] == 2).mean())
    assert stored["call"]["urgency"]["high_read_as_low"] == pytest.approx((predicted[high] == 0).mean())


def test_only_validation_rows_are_predicted_in_their_order(predictions, trained):
    rows = read_training_set(trained.paths).side(VALIDATION)
    assert predictions.schema.equals(URGENCY_PREDICTIONS)
    for column in ("archive", "_id", "utterance_id", "urgency_id", "sentiment_id"):
        assert predictions[column].to_pylist() == rows[column].to_pylist()


def test_the_majority_is_that_of_the_training_side(stored, trained):
    summary = read_training_set(trained.paths).summary
    counts = summary.class_counts["train"]["urgency"]
    frequent = max(counts, key=lambda name: counts[name])
    share = summary.class_counts["validation"]["urgency"][frequent] / summary.utterances["validation"]
    assert stored["majority"]["urgency"]["accuracy"] == pytest.approx(share)
    assert stored["majority"]["n"] == stored["utterance"]["n"] == summary.utterances["validation"]
    assert stored["majority_call"]["n"] == stored["call"]["n"] == summary.calls["validation"]


def test_the_parts_of_a_division_are_all_rows(stored, trained):
    rows = trained.metrics["utterance"]["n"]
    assert set(stored["slices"]) == {
        "region", "category", "disasterMedium", "gender", "speaker", "segment_length", "call_length",
    }  # fmt: skip
    for division, parts in stored["slices"].items():
        assert sum(scores["n"] for scores in parts.values()) == rows, division
    assert set(stored["slices"]["speaker"]) == {"call taker", "caller"}


@pytest.mark.parametrize(("name", "speaker"), [("caller_only", 1), ("taker_only", 0)])
def test_one_side_of_the_talk_is_judged_by_call(stored, predictions, trained, name, speaker):
    rows = read_training_set(trained.paths).side(VALIDATION)
    frame = predictions.to_pandas().assign(speaker=rows["speaker"].to_pylist())
    grouped = frame[frame["speaker"] == speaker].groupby("_id")
    predicted = grouped["urgency_logits"].agg(lambda logits: np.mean(np.stack(list(logits)), axis=0).argmax())
    assert stored[name]["n"] == len(predicted)
    assert stored[name]["urgency"]["accuracy"] == pytest.approx((predicted == grouped["urgency_id"].first()).mean())


def test_the_last_moment_is_the_whole_call(stored):
    last = stored["time_to_decision"][-1]
    assert last["decided"] == 1
    for name in ("accuracy", "recall_high"):
        assert last[name] == pytest.approx(stored["call"]["urgency"][name])
        assert last[f"{name}_interval"] == pytest.approx(stored["call"]["urgency"][f"{name}_interval"])


def test_the_calibration_is_that_of_the_model_folder(stored, trained, predictions):
    temperatures = load_urgency_model(trained.paths.urgency.model).temperatures
    for task, temperature in temperatures.items():
        logits = np.array(predictions[f"{task}_logits"].to_pylist(), np.float32)
        found = stored["calibration"][task]
        assert found["temperature"] == temperature
        true = predictions[f"{task}_id"].to_numpy()
        assert found["ece_before"] == pytest.approx(reliability(probabilities(logits), true).error)
        assert found["ece_after"] == pytest.approx(reliability(probabilities(logits, temperature), true).error)
    nobody_asked, of_calls = stored["calibration"]["abstention"][0], stored["call"]["urgency"]
    assert nobody_asked["accuracy"] == of_calls["accuracy"]
    low, high = nobody_asked["accuracy_interval"]
    assert low < of_calls["accuracy"] < high
    assert (low, high) == pytest.approx(of_calls["accuracy_interval"], abs=0.1)


def test_the_thresholds_are_those_of_the_model_folder_on_calls(stored, trained, predictions):
    model = load_urgency_model(trained.paths.urgency.model)
    assert set(model.thresholds) == {"answer_from", "alarm_from"}
    mean = (
        predictions.to_pandas().groupby("_id")["urgency_logits"].agg(lambda of_call: np.mean(np.stack(of_call), axis=0))
    )
    of_calls = probabilities(np.stack(mean).astype(np.float32), model.temperatures["urgency"])
    found = stored["calibration"]["thresholds"]
    assert {name: of_name["threshold"] for name, of_name in found.items()} == model.thresholds
    stands = of_calls.max(axis=1) >= model.thresholds["answer_from"]
    assert found["answer_from"]["to_person"] == pytest.approx(1 - stands.mean())


def test_the_cost_is_that_of_the_calls(stored, copied):
    assert stored["cost_per_1000_calls"]["model"] < stored["cost_per_1000_calls"]["majority"]
    errors = tuple(tuple(float(true != read) for read in range(3)) for true in range(3))
    again = evaluate(copied, CONFIG.changed(cost_matrix=errors))
    wrong = 1 - again["call"]["urgency"]["accuracy"]
    assert again["cost_per_1000_calls"]["model"] == pytest.approx(1000 * wrong)


@pytest.fixture
def copied(trained, tmp_path):
    """A trained storage root that may be judged again."""
    return StoragePaths(shutil.copytree(trained.paths.root, tmp_path / "copied"))


def test_the_size_of_a_batch_does_not_change_the_predictions(trained, copied, predictions):
    again = evaluate(copied, CONFIG.changed(batch_size=7))
    assert again["utterance"]["urgency"]["accuracy"] == trained.metrics["utterance"]["urgency"]["accuracy"]
    logits = pq.read_table(copied.urgency.evaluation / "predictions.parquet")["urgency_logits"]
    np.testing.assert_allclose(logits.to_pylist(), predictions["urgency_logits"].to_pylist(), atol=1e-5)


def test_progress_reaches_every_utterance(trained, copied):
    seen = []
    evaluate(copied, CONFIG, lambda done, total: seen.append((done, total)))
    rows = trained.metrics["utterance"]["n"]
    assert seen[-1] == (rows, rows)


def test_a_model_of_another_training_set_is_refused(paths, text_model):
    train_and_judge(paths, text_model)
    build_training_set(paths, list(ARCHIVES)[1:], SplitConfig())
    with pytest.raises(ArtefactError, match="another training set"):
        evaluate(paths, CONFIG)


def test_the_stored_metrics_are_read_back_and_a_damaged_file_is_none(trained, copied):
    assert read_metrics(copied) == trained.metrics
    target = copied.urgency.evaluation / "metrics.json"
    target.write_text("{damaged")
    assert read_metrics(copied) is None
    target.unlink()
    assert read_metrics(copied) is None


def test_nothing_to_judge_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="no training set"):
        evaluate(StoragePaths(tmp_path), CONFIG)
