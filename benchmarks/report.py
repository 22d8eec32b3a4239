"""What a benchmark found: a row of the table and a JSON file. Nothing is timed here."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import write_json

TIMES_BETTER = "how many times better ours is"
TIMES_AS_LONG = "how many times as long ours takes"

SECONDS = "seconds"

HEADER = f"{'benchmark':10} {'ours':>10} {'reference':>10} {'ratio':>8}  unit"


@dataclass(frozen=True)
class Comparison:
    """Two ways of doing the same work, next to each other.

    Attributes:
        name: the benchmark.
        unit: of the figures of both sides.
        ours: this project's way.
        reference: the way it is compared with.
        ratio: of the two medians, as `ratio_is` says.
        ratio_is: TIMES_BETTER or TIMES_AS_LONG.
        details: what was worked on, and what else was found, as JSON values.
    """

    name: str
    unit: str
    ours: Figures
    reference: Figures
    ratio: float
    ratio_is: str
    details: Mapping[str, Any]


def by_rate(name: str, unit: str, ours: Figures, reference: Figures, details: Mapping[str, Any]) -> Comparison:
    """A comparison of two rates, of which the higher is better."""
    return Comparison(name, unit, ours, reference, ours.median / reference.median, TIMES_BETTER, details)


def by_duration(name: str, ours: Figures, reference: Figures, details: Mapping[str, Any]) -> Comparison:
    """A comparison of two durations in seconds, of which the shorter is better."""
    return Comparison(name, SECONDS, ours, reference, reference.median / ours.median, TIMES_BETTER, details)


def as_cost(name: str, ours: Figures, reference: Figures, details: Mapping[str, Any]) -> Comparison:
    """A comparison with the least there can be, in seconds: ours is longer, and the ratio says how much."""
    return Comparison(name, SECONDS, ours, reference, ours.median / reference.median, TIMES_AS_LONG, details)


def row(comparison: Comparison) -> str:
    """One line of the table, aligned with HEADER."""
    ours, reference = f"{comparison.ours.median:.4g}", f"{comparison.reference.median:.4g}"
    explained = "" if comparison.ratio_is == TIMES_BETTER else f" (ratio: {comparison.ratio_is})"
    return f"{comparison.name:10} {ours:>10} {reference:>10} {comparison.ratio:7.1f}x  {comparison.unit}{explained}"


def write_comparison(paths: StoragePaths, comparison: Comparison) -> Path:
    """Writes `bench/<name>.json` with machine and date; returns its path."""
    target = paths.benchmark(comparison.name)
    sides = {"ours": comparison.ours, "reference": comparison.reference}
    write_json(
        target,
        {
            **asdict(comparison),
            **{side: figures.median for side, figures in sides.items()},
            "runs": {side: figures.runs for side, figures in sides.items()},
            "spread": {side: [figures.low, figures.high] for side, figures in sides.items()},
            "machine": machine(),
            "date": datetime.now(UTC).date().isoformat(),
        },
    )
    return target


def machine() -> str:
    """The processor's model and the number of cores; no name of the host."""
    cores = os.cpu_count() or 1
    return f"{_processor()}, {cores} {'core' if cores == 1 else 'cores'}"


def _processor() -> str:
    """The model as the kernel names it; the architecture where it names none."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()
