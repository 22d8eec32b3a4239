"""Progress of a long step: a bar on the terminal, and a line in the Dagster log from time to time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from tqdm import tqdm

from urgency_dagster.progress import Progress

LOG_INTERVAL_S = 30.0

DRAWN_ANYWAY = ("utterances_per_s", "eta_s")
"""Figures that the bar has of its own, so that it need not tell them twice."""


@contextmanager
def shown_progress(context: dg.AssetExecutionContext, unit: str) -> Iterator[Progress]:
    """Yields a `Progress` that draws a bar on stderr and logs every half minute and at the end."""
    name = context.partition_key if context.has_partition_key else context.op_def.name
    last_log = time.monotonic()
    with tqdm(unit=f" {unit}", desc=name, file=sys.stderr, mininterval=1.0, dynamic_ncols=False, ncols=100) as bar:

        def report(done: int, total: int, **figures: float) -> None:
            nonlocal last_log
            told = {what: f"{value:.4g}" for what, value in figures.items()}
            ended = done == total and bar.n < total
            bar.total = total
            bar.set_postfix({what: value for what, value in told.items() if what not in DRAWN_ANYWAY}, refresh=False)
            bar.update(done - bar.n)
            if ended or time.monotonic() - last_log > LOG_INTERVAL_S:
                last_log = time.monotonic()
                shown = "".join(f", {what} {value}" for what, value in told.items())
                context.log.info("%s: %d of %d %s%s", name, done, total, unit, shown)

        yield report
