"""Each check of the judged model on good figures and on bad ones."""

import dagster as dg
import pytest

from urgency_dagster.defs.evaluation_checks import beats_majority, better_than_parts, not_worse_than_before


@pytest.mark.parametrize(("model", "passed"), [(0.5, True), (0.2, False), (0.1, False)])
def test_the_model_must_beat_the_majority_class(model: float, passed: bool) -> None:
    metrics = {"utterance": {"urgency": {"f1_macro": model}}, "majority": {"urgency": {"f1_macro": 0.2}}}
    assert beats_majority(metrics).passed is passed


@pytest.mark.parametrize(("now", "passed"), [(0.60, True), (0.45, True), (0.44, False)])
def test_a_model_can_be_worse_within_the_interval_of_the_last_one(now: float, passed: bool) -> None:
    before = {"utterance": {"urgency": {"f1_macro": 0.5, "f1_macro_interval": [0.45, 0.55]}}}
    check = not_worse_than_before({"utterance": {"urgency": {"f1_macro": now}}}, before)
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert (check.metadata["before"].value, check.metadata["least"].value) == (0.5, 0.45)


def test_the_first_model_passes() -> None:
    check = not_worse_than_before({"utterance": {"urgency": {"f1_macro": 0.1}}}, None)
    assert check.passed
    assert check.metadata["before"].value == "none"


@pytest.mark.parametrize(
    ("interval", "passed"), [([0.01, 0.2], True), ([0.0, 0.2], False), ([-0.1, 0.2], False), (None, False)]
)
def test_the_model_is_compared_with_its_best_part(interval: list[float] | None, passed: bool) -> None:
    """The majority class is no part, and the best part is the one with the smallest difference."""
    differences = {
        "majority": {"f1_macro": -0.1, "f1_macro_interval": [-0.2, -0.05]},
        "text_only": {"f1_macro": 0.05, "f1_macro_interval": interval},
        "audio_only": {"f1_macro": 0.4, "f1_macro_interval": [0.3, 0.5]},
    }
    metrics = {"utterance": {"urgency": {}}, "differences": {"urgency": differences}}
    check = better_than_parts(metrics)
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert check.metadata["part"].value == "text_only"
    assert (check.description is None) is passed
