"""How fast a step goes: utterances and audio per second, how long it will still take, and a picture of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.pictures import BLUE, GREY, picture

MAX_POINTS = 512
"""Measurements that are kept for the picture; every other one goes when there are more."""


@dataclass
class Throughput:
    """A meter of work that is measured in seconds of audio.

    Attributes:
        audio_s: seconds of audio to work on.
        clock: gives the time in seconds.
        utterances: worked on so far.
        audio_done_s: worked on so far.
        points: the seconds since the start and the seconds of audio by then, at some moments.
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
        """Counts work that is done."""
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
        """Utterances per second, seconds of audio per second, and the seconds that are left at this rate."""
        seconds = max(self.seconds, 1e-9)
        rate = self.audio_done_s / seconds
        left_s = (self.audio_s - self.audio_done_s) / rate if rate else 0.0
        return {
            "utterances_per_s": self.utterances / seconds,
            "x_real_time": rate,
            "eta_s": max(0.0, left_s),
        }


def rates(points: list[tuple[float, float]], parts: int = 60) -> list[tuple[float, float]]:
    """The seconds since the start and the rate, x real time, of up to `parts` stretches of about equal length.

    Args:
        points: as `Throughput.points`.
        parts: how finely to look.
    """
    step = max(points[-1][0] / parts, 1e-9)
    found: list[tuple[float, float]] = []
    start_s, before_s = points[0]
    for time_s, audio_s in points[1:]:
        if time_s - start_s >= step or (time_s, audio_s) == points[-1]:
            found.append((time_s, (audio_s - before_s) / max(time_s - start_s, 1e-9)))
            start_s, before_s = time_s, audio_s
    return found


def draw_throughput(points: list[tuple[float, float]], target: Path) -> None:
    """The rate over time, and the mean as a line."""
    found = rates(points)
    with picture(target, width_in=6.4, height_in=2.6) as axes:
        if found:
            axes.step([0.0, *(time_s for time_s, _ in found)], [found[0][1], *(r for _, r in found)], color=BLUE)
            axes.axhline(points[-1][1] / max(points[-1][0], 1e-9), color=GREY, linewidth=1, linestyle="--")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds")
        axes.set_ylabel("x real time")
        axes.set_title("Audio embedded per second, and the mean", fontsize=10)
