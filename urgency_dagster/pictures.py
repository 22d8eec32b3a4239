"""Drawing of PNG pictures: one style, no display, equal bytes for equal figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from urgency_dagster.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#3b6fb6", "#d9822b", "#8a8f98"


@contextmanager
def picture(target: Path, *, width_in: float = 5.0, height_in: float = 3.6) -> "Iterator[Axes]":
    """Yields the axes of a new picture, and writes it to `target` as PNG when the block succeeds.

    It uses matplotlib's object interface instead of pyplot, which needs a display and keeps global state.

    Args:
        target: the PNG file.
        width_in: width in inches.
        height_in: height in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    yield axes
    with replacing(target) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
