"""Progress reports of long work, without knowledge of terminals or Dagster."""

from typing import Protocol


class Progress(Protocol):
    """A function that receives the finished units, the total, and figures such as `loss=0.7`."""

    def __call__(self, done: int, total: int, **figures: float) -> None:
        """Reports progress. It must return at once."""


def no_progress(done: int, total: int, **figures: float) -> None:
    """Ignores progress."""
