"""The speed of a step: utterances and audio per second, remaining time, and a picture of the rate over time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.pictures import BLUE, GREY, picture

MAX_POINTS = 512
"""Maximum number of measurements kept for the picture. Every second one is dropped when there are more."""


@dataclass
class Throughput:
    """A meter of work in seconds of audio.

    Attributes:
        audio_s: seconds of audio in total.
        clock: returns the time in seconds.
        utterances: finished utterances.
        audio_done_s: finished seconds of audio.
        points: pairs of the seconds since the start and the seconds of audio finished by then.
    """

    audio_s: float
    clock: Callable[[], float] = time.monotonic
    utterances: float = 0.0
    audio_done_s: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    _started: float = field(init=False)
    _every: int = field(default=1, init=False)
    _skipped: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._started

    def add(self, utterances: float, audio_s: float) -> None:
        """Counts finished work."""
        self.utterances += utterances
        self.audio_done_s += audio_s
        self._skipped += 1
        if self._skipped >= self._every:
            self._skipped = 0
            self.points.append((self.seconds, self.audio_done_s))
        if len(self.points) > MAX_POINTS:
            del self.points[1::2]
            self._every *= 2

    def figures(self) -> dict[str, float]:
        """Utterances per second, seconds of audio per second (x real time), and the estimated remaining seconds."""
        seconds = max(self.seconds, 1e-9)
        rate = self.audio_done_s / seconds
        remaining_s = (self.audio_s - self.audio_done_s) / rate if rate else 0.0
        return {
            "utterances_per_s": self.utterances / seconds,
            "x_real_time": rate,
            "eta_s": max(0.0, remaining_s),
        }


def rates(points: list[tuple[float, float]], parts: int = 60) -> list[tuple[float, float]]:
    """The rate over time: pairs of the seconds since the start and the rate (x real time) of the interval before.

    Args:
        points: see `Throughput.points`.
        parts: maximum number of intervals; they have about equal length.
    """
    step = max(points[-1][0] / parts, 1e-9)
    intervals: list[tuple[float, float]] = []
    start_s, start_audio_s = points[0]
    for time_s, audio_s in points[1:]:
        if time_s - start_s >= step or (time_s, audio_s) == points[-1]:
            intervals.append((time_s, (audio_s - start_audio_s) / max(time_s - start_s, 1e-9)))
            start_s, start_audio_s = time_s, audio_s
    return intervals


def draw_throughput(points: list[tuple[float, float]], target: Path) -> None:
    """Draws the rate over time as steps, and the mean rate as a dashed line.

    Args:
        points: see `Throughput.points`.
        target: the PNG file.
    """
    intervals = rates(points)
    with picture(target, width_in=6.4, height_in=2.6) as axes:
        if intervals:
            axes.step(
                [0.0, *(time_s for time_s, _ in intervals)],
                [intervals[0][1], *(rate for _, rate in intervals)],
                color=BLUE,
            )
            axes.axhline(points[-1][1] / max(points[-1][0], 1e-9), color=GREY, linewidth=1, linestyle="--")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds")
        axes.set_ylabel("x real time")
        axes.set_title("Audio embedded per second, and the mean", fontsize=10)
