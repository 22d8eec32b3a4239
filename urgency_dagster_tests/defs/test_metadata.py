"""What the pages show of results, without running a pipeline."""

from typing import Any

import pytest

from urgency_dagster.attention import MODEL_NAMES, Protocol, hyper_parameters
from urgency_dagster.calls import ProsodySummary
from urgency_dagster.defs.metadata import (
    evaluation_metadata,
    extraction_metadata,
    feature_metadata,
    prosody_metadata,
    training_metadata,
    validation_metadata,
)
from urgency_dagster.defs.resources import RayResource
from urgency_dagster.urgency import EpochScores, TrainingConfig, TrainingSummary


def test_an_extraction_says_shares_in_words_and_sizes_in_megabytes() -> None:
    counts = {"audio_files": 40, "label_files": 42, "rejected_members": 3, "bytes": 12_345_678, "extracted": 80}
    page = extraction_metadata({**counts, "reused": 2})
    assert page["rejected_members"] == "3 of 85 members (3.5 %)"
    assert page["unpacked"] == "12.3 MB"
    assert "bytes" not in page


def test_prosody_says_how_many_utterances_have_no_f0() -> None:
    page = prosody_metadata(ProsodySummary(utterances=15, calls=5, audio_s=75.4, without_f0=3))
    assert (page["without_f0"], page["audio"]) == ("3 of 15 utterances (20.0 %)", "1 min 15 s")


def test_a_training_shows_its_hyper_parameters_and_time_and_urgency_first() -> None:
    epochs = tuple(EpochScores(number, 0.9, 2e-5, 0.51234, 0.41234, 0.71234, 0.61234) for number in (1, 2, 3))
    sizes = {"training": {"calls": 9, "utterances": 90}, "measured": {"calls": 2, "utterances": 20}}
    speaker = {**sizes, "accuracy": 0.87654, "accuracy_interval": [0.8, 0.9], "majority": 0.55}
    summary = TrainingSummary(epochs[1], epochs, 1000, "cpu", "data", "split", "development", speaker)
    page = training_metadata(summary, TrainingConfig(), seconds=252.1)
    assert (page["best_epoch"], page["chosen_on"]) == ("2 of 3", "development side")
    names = list(page)
    assert names.index("best_urgency_f1_macro") < names.index("best_sentiment_f1_macro")
    assert page["best_urgency_f1_macro"] == 0.6123
    assert "| learning_rate | 2e-05 |" in page["hyper_parameters"].value
    assert "device" not in page["hyper_parameters"].value
    assert (page["took"], page["seconds"]) == ("4 min 12 s", 252.1)
    assert page["speaker_accuracy"] == 0.8765
    assert "accuracy 0.877 (0.800 to 0.900) on 20 utterances of 2 other calls" in page["who_speaks"]


def test_a_training_without_speakers_says_so() -> None:
    epoch = EpochScores(1, 0.9, 2e-5, 0.5, 0.4, 0.7, 0.6)
    summary = TrainingSummary(epoch, (epoch,), 1000, "cpu", "data", "split", "development", None)
    page = training_metadata(summary, TrainingConfig(), seconds=1)
    assert "speaker_accuracy" not in page
    assert page["who_speaks"] == "not told: the training side does not have both values of `speaker`"


def test_an_evaluation_shows_urgency_before_sentiment() -> None:
    of_level = {"urgency": {"f1_macro": 0.61234}, "sentiment": {"f1_macro": 0.4}, "average_f1": 0.50617}
    levels = ("utterance", "text_only", "audio_only", "majority", "call", "text_only_call", "audio_only_call")
    page = evaluation_metadata(dict.fromkeys(levels, of_level))
    assert list(page)[:2] == ["urgency macro-F1", "sentiment macro-F1"]
    assert (page["urgency_f1_macro"], page["average_f1"]) == (0.6123, 0.5062)


def test_windows_are_sorted_by_their_length() -> None:
    features = {
        "total": 5,
        "categorical": 1,
        "outside_grammar": 0,
        "by_stream": {"HRT": 3, "ACC": 2},
        "by_statistic": {"AVG": 5},
        "by_window_s": {"21600": 1, "900": 1, "1800": 3},
    }
    summary: dict[str, Any] = {"rows": 40, "participants": 4, "positive_rate": 0.375, "features": features}
    page = feature_metadata({**summary, "missing_streams": {}, "constant_within_participant": {}, "warnings": []})
    windows = page["features_by_window_s"].value
    assert windows.index("| 900 |") < windows.index("| 1800 |") < windows.index("| 21600 |")
    assert page["attentive"] == "15 of 40 samples (37.5 %)"
    assert page["categorical"] == "1 of 5 features (20.0 %)"


def test_a_cross_validation_shows_rounded_scores_and_folds_in_words() -> None:
    mean = {"accuracy": 0.61234567, "f1_macro": 0.5, "roc_auc": 0.55556}
    page = validation_metadata({"mean": mean, "folds": [{}] * 5, "folds_with_score": {"roc_auc": 4}}, reused=2)
    assert (page["accuracy"], page["roc_auc"]) == (0.6123, 0.5556)
    assert page["folds_of_one_class"] == "1 of 5 folds (20.0 %)"
    assert next(iter(page)) == "f1_macro"


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_every_model_has_hyper_parameters(model: str) -> None:
    protocol = Protocol().model_dump()
    shown = hyper_parameters({"model": model, "cross_validation": {"protocol": protocol}})
    assert shown
    seeds = [value for name, value in shown.items() if name.endswith("random_state")]
    assert set(seeds) <= {protocol["seed"]}


def test_the_ray_cluster_in_force_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    here = RayResource().in_force(None)
    assert here["ray"] == "a private cluster of this machine"
    assert here["ray_cpus"] >= 1
    assert RayResource().in_force(3)["ray_cpus"] == 3
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr("urgency_dagster.defs.resources.cluster_cpus", lambda address: 12)
    assert RayResource().in_force(3) == {"ray": "127.0.0.1:1", "ray_cpus": 12}
