"""What the command `predict` says of missing labels."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from urgency_dagster.cli import main
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import gap_line, load_predictor
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency import LabelFreeGap, Predictor
from urgency_dagster_tests.scoring.gap.conftest import Measured
from urgency_dagster_tests.urgency.spoken import SpokenRoot

GAP = LabelFreeGap("ctc", {}, "urgency", with_labels=0.75, without_labels=0.5, interval=(-0.4, 0.05), calls=8)


@pytest.fixture
def predictor(once: Measured) -> Predictor:
    return load_predictor(once.paths.root)


def test_the_line_has_the_difference_and_its_interval(predictor: Predictor) -> None:
    assert gap_line(replace(predictor, label_free_gap=GAP), ["label", "ctc", "ctc"]) == (
        "what missing labels cost (ctc): macro-F1 of the urgency by call is 0.500 instead of 0.750 with labels, "
        "a difference of -0.250 (95 % interval -0.400 to +0.050), on 8 validation calls"
    )


def test_with_labels_there_is_no_line(predictor: Predictor) -> None:
    assert gap_line(predictor, ["label"]) == gap_line(predictor, []) == ""


def test_too_few_calls_have_no_interval(predictor: Predictor) -> None:
    assert "(95 % interval not defined)" in gap_line(
        replace(predictor, label_free_gap=replace(GAP, interval=None)), ["ctc"]
    )


def predict(paths: StoragePaths, *arguments: object) -> Result:
    words = [str(argument) for argument in (*arguments, "--storage", paths.root)]
    return CliRunner().invoke(main, ["predict", *words])


@pytest.fixture
def recording(once: Measured, tmp_path: Path) -> Path:
    """A recording without its label."""
    source = min(once.paths.archive("V_광주_구급").audio.iterdir())
    (tmp_path / source.name).write_bytes(source.read_bytes())
    return tmp_path / source.name


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_the_command_prints_the_line_on_stderr(once: Measured, recording: Path, form: str) -> None:
    done = predict(once.paths, recording, "--format", form)
    assert done.exit_code == 0, done.output
    assert done.stderr == gap_line(load_predictor(once.paths.root), ["ctc"]) + "\n"
    assert "missing labels" not in done.stdout


def test_the_command_says_if_nothing_was_measured(speaking: SpokenRoot, recording: Path) -> None:
    done = predict(speaking.paths, recording)
    assert done.stderr == "what missing labels cost (ctc): not measured: materialize label_free_gap\n"
    assert "  -        -      ctc" in done.stdout, "without a threshold it neither abstains nor raises an alarm"


def test_the_command_abstains_by_the_measured_threshold(once: Measured, recording: Path) -> None:
    (row,) = csv.DictReader(predict(once.paths, recording, "--format", "csv").stdout.splitlines())
    confidence = max(float(row[f"urgency_{level}"]) for level in URGENCY_LEVELS)
    assert row["abstain"] == str(confidence < once.metrics["thresholds"]["answer_from"]).lower()
