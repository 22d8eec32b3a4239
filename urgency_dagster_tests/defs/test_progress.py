"""The progress of a long step on the terminal and in the Dagster log."""

import dagster as dg
import pytest

from urgency_dagster.defs import progress
from urgency_dagster.defs.progress import shown_progress


def reported(capfd: pytest.CaptureFixture[str], *reports: tuple[int, int, dict[str, float]]) -> tuple[list[str], str]:
    """The log lines and the drawn bar of a step with some progress reports."""

    @dg.asset
    def slow(context: dg.AssetExecutionContext) -> None:
        with shown_progress(context, "utterances") as report:
            for done, total, figures in reports:
                report(done, total, **figures)

    dg.materialize([slow])
    drawn = capfd.readouterr().err
    return [line for line in drawn.splitlines() if " - slow - slow: " in line], drawn


def test_the_end_is_logged_with_its_figures(capfd: pytest.CaptureFixture[str]) -> None:
    lines, _ = reported(
        capfd, (5, 10, {"x_real_time": 19.876}), (10, 10, {"x_real_time": 20.123, "eta_s": 0.0}), (10, 10, {})
    )
    assert len(lines) == 1
    assert lines[0].endswith("slow: 10 of 10 utterances, x_real_time 20.12, eta_s 0")


def test_progress_is_logged_after_each_interval(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", -1.0)
    lines, _ = reported(capfd, (5, 10, {}), (7, 10, {"eta_s": 3.0}))
    assert [line.rpartition(" slow: ")[2] for line in lines] == ["5 of 10 utterances", "7 of 10 utterances, eta_s 3"]


def test_the_bar_shows_the_progress_and_the_figures(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _, drawn = reported(capfd, (5, 10, {"x_real_time": 20.5, "eta_s": 77.0}))
    bar = drawn.split("\r")[-1].partition("\n")[0]
    assert "5/10" in bar
    assert "x_real_time=20.5" in bar
    assert "eta_s" not in bar, "the bar has a remaining time of its own"
