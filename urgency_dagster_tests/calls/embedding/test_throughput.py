from pathlib import Path

import pytest

from urgency_dagster.calls.embedding.throughput import MAX_POINTS, Throughput, draw_throughput, rates


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def metered(work: list[tuple[float, float, float]], audio_s: float) -> Throughput:
    """A meter after some work: (seconds that it took, utterances, seconds of audio) each."""
    clock = Clock()
    meter = Throughput(audio_s, clock)
    for seconds, utterances, done_s in work:
        clock.now += seconds
        meter.add(utterances, done_s)
    return meter


def test_rates_are_over_the_whole_time_and_what_is_left_is_told_by_audio() -> None:
    meter = metered([(1, 2, 10), (3, 8, 30)], audio_s=100)
    assert meter.figures() == {"utterances_per_s": 2.5, "x_real_time": 10.0, "eta_s": 6.0}
    assert meter.points == [(0, 0), (1, 10), (4, 40)]


def test_nothing_is_left_at_the_end_and_nothing_is_known_at_the_beginning() -> None:
    assert metered([(2, 1, 50)], audio_s=50).figures()["eta_s"] == 0
    assert metered([], audio_s=50).figures() == {"utterances_per_s": 0, "x_real_time": 0, "eta_s": 0}


def test_few_points_are_kept_of_much_work_and_none_is_out_of_order() -> None:
    meter = metered([(1, 1, 2)] * 5000, audio_s=10_000)
    assert MAX_POINTS / 3 < len(meter.points) <= MAX_POINTS
    assert meter.points == sorted(meter.points)
    assert {round(audio_s / time_s) for time_s, audio_s in meter.points[1:]} == {2}


def test_the_rate_of_each_stretch() -> None:
    points = [(0.0, 0.0), (1.0, 10.0), (2.0, 20.0), (3.0, 20.0), (4.0, 60.0)]
    assert rates(points, parts=2) == [(2.0, 10.0), (4.0, 20.0)]
    assert rates(points, parts=4) == [(1.0, 10.0), (2.0, 10.0), (3.0, 0.0), (4.0, 40.0)]
    assert rates([(0.0, 0.0)]) == []


@pytest.mark.parametrize("points", [[(0.0, 0.0)], [(0.0, 0.0), (2.0, 30.0)], [(0.0, 0.0), (0.0, 1.0)]])
def test_the_picture_needs_no_minimum(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    draw_throughput(points, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_the_work(tmp_path: Path) -> None:
    for name, speed in (("slow", 10.0), ("fast", 40.0)):
        draw_throughput([(0.0, 0.0), (1.0, 10.0), (2.0, 10.0 + speed)], tmp_path / name)
    assert (tmp_path / "slow").read_bytes() != (tmp_path / "fast").read_bytes()
