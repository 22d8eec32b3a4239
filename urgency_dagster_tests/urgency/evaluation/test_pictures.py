"""The pictures of the evaluation show the figures that they are given."""

from pathlib import Path

from urgency_dagster.statistics.calibration import probabilities, reliability
from urgency_dagster.urgency.evaluation.pictures import draw_reliability, draw_time_to_decision
from urgency_dagster_tests.statistics.test_calibration import drawn
from urgency_dagster_tests.urgency.evaluation.test_decision import moments


def test_the_time_to_decision_shows_the_points(tmp_path: Path) -> None:
    draw_time_to_decision(tmp_path / "one.png", moments([0, 2], 1, 5, 12))
    draw_time_to_decision(tmp_path / "other.png", moments([0, 1], 1, 5, 12))  # without a high call
    one, other = ((tmp_path / name).read_bytes() for name in ("one.png", "other.png"))
    assert one.startswith(b"\x89PNG")
    assert one != other


def test_the_reliability_shows_both_curves(tmp_path: Path) -> None:
    logits, true = drawn(500, 3.0)
    before, after = (reliability(probabilities(logits, t), true) for t in (1.0, 3.0))
    draw_reliability(tmp_path / "one.png", "urgency", before, after)
    draw_reliability(tmp_path / "other.png", "urgency", before, before)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()
