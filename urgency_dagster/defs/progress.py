"""Progress of a long step: a bar on the terminal, and lines in the Dagster log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from tqdm import tqdm

from urgency_dagster.progress import Progress

LOG_INTERVAL_S = 30.0
"""Minimum seconds between two lines in the log. The end is always logged."""

TQDM_FIGURES = ("utterances_per_s", "eta_s")
"""Figures that the bar of tqdm shows by itself."""


@contextmanager
def shown_progress(context: dg.AssetExecutionContext, unit: str) -> Iterator[Progress]:
    """Yields a `Progress` that draws a bar on stderr, and logs every half minute and at the end.

    Args:
        context: the context of the step.
        unit: the plural of what is counted, e.g. `utterances`.
    """
    step = context.partition_key if context.has_partition_key else context.op_def.name
    last_log = time.monotonic()
    with tqdm(unit=f" {unit}", desc=step, file=sys.stderr, mininterval=1.0, dynamic_ncols=False, ncols=100) as bar:

        def report(done: int, total: int, **figures: float) -> None:
            nonlocal last_log
            formatted = {name: f"{value:.4g}" for name, value in figures.items()}
            ended = done == total and bar.n < total
            bar.total = total
            bar.set_postfix(
                {name: value for name, value in formatted.items() if name not in TQDM_FIGURES}, refresh=False
            )
            bar.update(done - bar.n)
            if ended or time.monotonic() - last_log > LOG_INTERVAL_S:
                last_log = time.monotonic()
                suffix = "".join(f", {name} {value}" for name, value in formatted.items())
                context.log.info("%s: %d of %d %s%s", step, done, total, unit, suffix)

        yield report
