"""How long work tells its caller how far it is, without knowing about terminals or Dagster."""

from typing import Protocol


class Progress(Protocol):
    """Called with the units done so far, the total, and figures worth showing (`loss=0.7`)."""

    def __call__(self, done: int, total: int, **figures: float) -> None:
        """Reports progress; must return at once."""


def silent(done: int, total: int, **figures: float) -> None:
    """Ignores progress."""
