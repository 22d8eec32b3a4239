"""What one more archive costs when others are done: the `run` command on the eleventh, and on the same one alone."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Side, in_turns
from benchmarks.process import WITH_DAGSTER, Process
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import write_demo
from urgency_dagster.demo.wearables import MIN_SAMPLES
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import partitions_with_manifest


@dataclass(frozen=True)
class GrowthSize:
    """How much is there before.

    Attributes:
        calls: of the demo; the pair that is copied holds a part of them.
        done: archives that are complete before the new one lands.
        runs: how often each side is timed.
    """

    calls: int = 2 * MIN_CALLS
    done: int = 10
    runs: int = 3


def cost_of_one_more(size: GrowthSize, folder: Path) -> dict[str, float]:
    """Seconds of both, whole processes: `alone_s`, `one_more_s`, and how many times as long `one_more` took.

    Raises:
        BenchmarkError: a process fails or makes another number of archives.
    """
    alone = write_pairs(folder / "alone", size, [size.done])
    grown = write_pairs(folder / "grown", size, range(size.done))
    Process(grown, folder / "first", 1, WITH_DAGSTER).run()
    before = folder / "first" / "0"
    for path in StoragePaths(alone).landing_calls.rglob("*.zip"):
        shutil.copy(path, StoragePaths(before).landing_calls)
    sides = [Process(root, folder / name, size.runs, WITH_DAGSTER) for root, name in ((before, "more"), (alone, "one"))]
    more, one = in_turns(*(Side(side.run, size.runs) for side in sides))
    check_made({more.result: size.done + 1, one.result: 1})
    figures = {"one_more_s": more.duration().median, "alone_s": one.duration().median}
    return {**figures, "one_more_ratio": figures["one_more_s"] / figures["alone_s"]}


def write_pairs(root: Path, size: GrowthSize, numbers: "range | list[int]") -> Path:
    """A demo whose landing folder holds copies of one of its archive pairs, one for each number."""
    write_demo(root, calls=size.calls, samples=MIN_SAMPLES)
    landing = StoragePaths(root).landing_calls
    pair = next(iter(scan_landing(landing).pairs.values()))
    copied = {source.name[:2]: source.read_bytes() for source in (*pair.audio.parts, *pair.labels.parts)}
    shutil.rmtree(landing)
    landing.mkdir()
    for number in numbers:
        for kind, content in copied.items():
            (landing / f"{kind}_copy{number:02}.zip").write_bytes(content)
    return root


def check_made(expected: dict[Path, int]) -> None:
    """Counts the archives that the last runs left complete.

    Raises:
        BenchmarkError: there are more or fewer.
    """
    for root, count in expected.items():
        made = len(partitions_with_manifest(StoragePaths(root), "processed_data"))
        if made != count:
            raise BenchmarkError(f"{made} archives are complete", str(count), "correct `defs`")
