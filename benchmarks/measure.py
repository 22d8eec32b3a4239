"""Timing two ways of doing the same work, in turns. What the work is and what is reported of it is elsewhere."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Side(Generic[Result]):
    """One way of doing the work.

    Attributes:
        work: does it once.
        runs: how often it is timed, at least once.
    """

    work: Callable[[], Result]
    runs: int


@dataclass(frozen=True)
class Figures:
    """What the runs of one side came to, in the unit of the benchmark."""

    runs: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing(Generic[Result]):
    """The seconds of each run of one side, in order, and what its last run returned."""

    seconds: tuple[float, ...]
    result: Result

    def duration(self) -> Figures:
        """The seconds of a run."""
        return _figures(self.seconds)

    def rate(self, amount: float) -> Figures:
        """Units of work per second, when a run does `amount` of them."""
        return _figures([amount / seconds for seconds in self.seconds])


def in_turns(ours: Side[Result], reference: Side[Other]) -> tuple[Timing[Result], Timing[Other]]:
    """Both sides timed, a run of ours, a run of the reference, and so on.

    In turns, because a machine that slows down or is shared would otherwise favour whichever side runs at a better
    time. A side with fewer runs has them spread evenly among the other's.
    """
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for is_ours in turns(ours.runs, reference.runs):
        start = time.perf_counter()
        if is_ours:
            result = ours.work()
        else:
            other = reference.work()
        seconds[is_ours].append(time.perf_counter() - start)
    return Timing(tuple(seconds[True]), result), Timing(tuple(seconds[False]), other)


def turns(ours: int, reference: int) -> list[bool]:
    """Whose turn it is, run by run: True is ours. Each side's runs lie evenly over the whole; ours goes first."""
    when = [((run + 0.5) / ours, 0) for run in range(ours)] + [((run + 0.5) / reference, 1) for run in range(reference)]
    return [side == 0 for _, side in sorted(when)]


def _figures(values: "list[float] | tuple[float, ...]") -> Figures:
    return Figures(len(values), statistics.median(values), min(values), max(values))
