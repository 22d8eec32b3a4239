import copy
import struct
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from urgency_dagster.urgency.evaluation.report import report_text
from urgency_dagster.urgency.package.model_folder import read_card
from urgency_dagster_tests.urgency.conftest import ARCHIVES, Trained

CONFUSIONS = {f"confusion_{task}_{unit}.png" for task in ("urgency", "sentiment") for unit in ("utterance", "call")}
PICTURES = CONFUSIONS | {"time_to_decision.png", "reliability.png"}


@pytest.fixture
def folder(trained: Trained) -> Path:
    return trained.paths.urgency.evaluation


@pytest.fixture
def card(trained: Trained) -> dict[str, Any]:
    return copy.deepcopy(read_card(trained.paths.urgency.model))


def test_the_evaluation_folder_holds_the_documented_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == PICTURES | {"metrics.json", "classification_report.txt", "predictions.parquet", "report.md"}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_pictures_are_readable_and_small(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert 300 < width < 1200
    assert 200 < height < 1200


def test_the_report_shows_the_stored_scores(folder: Path, trained: Trained) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    for unit in ("utterance", "call", "majority", "majority_call"):
        assert f"{trained.metrics[unit]['urgency']['f1_macro']:.3f}" in text
    assert f"{trained.metrics['call']['urgency']['recall_high']:.1%}" in text
    assert all(f"]({name})" in text for name in PICTURES)
    for parts in trained.metrics["slices"].values():
        assert all(f"| {scores['calls']} | {scores['accuracy']:.3f} " in text for scores in parts.values())
    for moment in trained.metrics["time_to_decision"]:
        low, high = moment["accuracy_interval"]
        accuracy = f"{moment['accuracy']:.1%} [{low:.1%}, {high:.1%}]"
        assert f"| {moment['seconds']} | {moment['decided']:.1%} | {accuracy} |" in text
    assert f"cost {trained.metrics['cost_per_1000_calls']['model']:.0f}" in text
    assert f"{trained.metrics['caller_only']['urgency']['f1_macro']:.3f}" in text


def test_the_classification_report_covers_both_tasks_and_units(folder: Path) -> None:
    text = (folder / "classification_report.txt").read_text(encoding="utf-8")
    for heading in ("urgency by utterance", "sentiment by utterance", "urgency by call", "sentiment by call"):
        assert heading in text
    assert text.count("상 (high)") == 2


def test_a_split_by_utterance_is_called_inflated(trained: Trained, card: dict[str, Any]) -> None:
    card["split"] = {"mode_asked": "utterance", "mode_used": "utterance", "sha256": "0"}
    assert "inflated" in report_text(trained.metrics, card, [])


def test_the_originals_protocol_is_named(trained: Trained, card: dict[str, Any]) -> None:
    assert "protocol: original" not in report_text(trained.metrics, card, [])
    card["protocol"] = "original"
    assert "**Trained with `protocol: original`" in report_text(trained.metrics, card, [])
    del card["protocol"]
    assert "protocol: original" not in report_text(trained.metrics, card, [])


def test_the_report_names_a_fallback_of_the_split(trained: Trained, card: dict[str, Any]) -> None:
    card["split"] = {"mode_asked": "official", "mode_used": "call", "sha256": "0"}
    assert "`call` instead of `official`" in report_text(trained.metrics, card, [])


def test_the_report_says_which_calls_chose_what(folder: Path, trained: Trained, card: dict[str, Any]) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    sizes = f"{card['utterances']['development']} utterances of {card['calls']['development']} calls"
    assert f"The development side has {sizes}. It chose the best epoch, the temperatures and the thresholds." in text
    assert f"- The best epoch ({card['epoch']} of {card['config']['epochs']}) was chosen on other calls." in text
    for split in (
        card["split"] | {"selection": "validation"},
        {"mode_asked": "call", "mode_used": "call", "sha256": "0"},
    ):
        text = report_text(trained.metrics, card | {"split": split}, [])
        assert "The validation side chose the best epoch too." in text
        assert "was chosen on the same rows, so the scores are slightly too high" in text


def test_a_class_that_is_absent_has_no_share(trained: Trained, card: dict[str, Any]) -> None:
    metrics = copy.deepcopy(trained.metrics)
    absent = ("recall_high", "high_read_as_low")
    metrics["call"]["urgency"] |= dict.fromkeys([*absent, *(f"{name}_interval" for name in absent)])
    assert "none present" in report_text(metrics, card, [])


def test_the_report_shows_the_thresholds_or_says_there_are_none(
    folder: Path, trained: Trained, card: dict[str, Any]
) -> None:
    found = trained.metrics["calibration"]["thresholds"]
    text = (folder / "report.md").read_text(encoding="utf-8")
    person, (low, high) = found["answer_from"], found["answer_from"]["to_person_interval"]
    assert (
        f"({person['threshold']:.3f}) {person['to_person']:.1%} [{low:.1%}, {high:.1%}] of the calls are deferred"
        in text
    )
    alarm, (low, high) = found["alarm_from"], found["alarm_from"]["false_alarms_interval"]
    assert f"{alarm['false_alarms']:.1%} [{low:.1%}, {high:.1%}] of the others" in text
    fit = card["threshold_fits"]["alarm_from"]
    assert f"Alarm threshold: {fit['threshold']:.3f}, fitted on {fit['calls']} calls of 상 (high): it raises" in text
    card["threshold_fits"]["alarm_from"]["offered"] = False
    assert "- Alarm threshold: not offered: the development side has only" in report_text(trained.metrics, card, [])
    metrics = copy.deepcopy(trained.metrics)
    metrics["calibration"]["thresholds"] = {}
    assert "has no thresholds" in report_text(metrics, card, [])


def test_the_report_shows_the_calibration_of_both_levels(folder: Path, trained: Trained) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    calibration = trained.metrics["calibration"]
    for level, of_level in (("utterance", calibration), ("call", calibration["call"])):
        for task in ("urgency", "sentiment"):
            assert f"| {task} by {level} | {of_level[task]['temperature']:.3f} |" in text
            for name in ("ece_before", "ece_after", "nll_before", "nll_after"):
                low, high = of_level[task][f"{name}_interval"]
                assert f"{of_level[task][name]:.3f} [{low:.3f}, {high:.3f}]" in text


def test_a_card_of_before_has_a_report(trained: Trained, card: dict[str, Any]) -> None:
    del card["threshold_fits"], card["config"]["min_development_calls"]
    assert "## Calibration" in report_text(trained.metrics, card, [])


def test_every_score_has_its_interval(folder: Path, trained: Trained) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    for unit in ("utterance", "call", "majority", "text_only", "audio_only_call"):
        for scores in (trained.metrics[unit]["urgency"], trained.metrics[unit]["sentiment"]):
            low, high = scores["f1_macro_interval"]
            assert f"{scores['f1_macro']:.3f} [{low:.3f}, {high:.3f}]" in text


def test_no_text_is_in_the_report(folder: Path, trained: Trained) -> None:
    texts = set()
    for archive in ARCHIVES:
        texts |= set(pq.read_table(trained.paths.archive(archive).utterances)["text"].to_pylist())
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not any(text.encode() in content for text in texts if len(text) > 4), path.name
