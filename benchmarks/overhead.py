"""What Dagster costs: the calls pipeline by the `run` command, against the same functions in one plain process.

Both sides are whole processes, from a landed demo to `processed_data.csv` and `prosody.parquet`. Each works on a fresh
copy of the same root.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.growth import GrowthSize, cost_of_one_more
from benchmarks.measure import Side, in_turns
from benchmarks.process import WITH_DAGSTER, Process
from benchmarks.report import Comparison, as_cost
from urgency_dagster.calls.embedding.archive import embed_archive
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.processed import write_processed_data
from urgency_dagster.calls.prosody.archive import write_prosody
from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import write_demo
from urgency_dagster.demo.wearables import MIN_SAMPLES
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import find_pretrained
from urgency_dagster.settings import Settings
from urgency_dagster.writing import file_hash

PLAIN = "from benchmarks.overhead import process_calls; process_calls(sys.argv[1])"


@dataclass(frozen=True)
class OverheadSize:
    """How much is processed.

    Attributes:
        calls: of the demo, in its three archive pairs.
        archives: how many of the pairs have landed.
        runs: how often each side is timed.
        growth: what one more archive is measured on.
    """

    calls: int = 2 * MIN_CALLS
    archives: int = 3
    runs: int = 3
    growth: GrowthSize = field(default_factory=GrowthSize)


def compare_overhead(size: OverheadSize) -> Comparison:
    """Seconds of both processes.

    Raises:
        BenchmarkError: a process fails, or the two write different files.
    """
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "demo"
        write_landed(template, size)
        ours = Process(template, Path(folder) / "dagster", size.runs, WITH_DAGSTER)
        reference = Process(template, Path(folder) / "plain", size.runs, PLAIN)
        timed, timed_reference = in_turns(Side(ours.run, size.runs), Side(reference.run, size.runs))
        archives = check_equal(StoragePaths(timed.result), StoragePaths(timed_reference.result))
        growth = cost_of_one_more(size.growth, Path(folder) / "growth")
    with_dagster, plain = timed.duration(), timed_reference.duration()
    details = {"calls": size.calls, "archives": archives, "added_s": with_dagster.median - plain.median, **growth}
    return as_cost("overhead", with_dagster, plain, details)


def write_landed(root: Path, size: OverheadSize) -> None:
    """The smallest demo, with some of its archive pairs only."""
    write_demo(root, calls=size.calls, samples=MIN_SAMPLES)
    pairs = scan_landing(StoragePaths(root).landing_calls).pairs
    for archive in sorted(pairs)[size.archives :]:
        for part in (*pairs[archive].audio.parts, *pairs[archive].labels.parts):
            part.unlink()


def process_calls(root: str) -> None:
    """The reference: all that a run makes of every landed archive, by the domain functions alone."""
    settings = Settings.load(Path(root))
    paths = StoragePaths(settings.storage)
    model = find_pretrained(settings.speech_model, "URGENCY_SPEECH_MODEL")
    embedding = EmbeddingConfig(**yaml.safe_load(paths.run_config.read_text(encoding="utf-8"))["utterance_embeddings"])
    for archive, pair in scan_landing(paths.landing_calls).pairs.items():
        extract_pair(pair, paths.archive(archive), ExtractionConfig())
        build_utterance_table(paths, archive)
        embed_archive(paths, archive, model, embedding)
        write_processed_data(paths, archive)
        write_prosody(paths, archive, ProsodyConfig())


def check_equal(ours: StoragePaths, reference: StoragePaths) -> int:
    """The number of archives that both ways made.

    Raises:
        BenchmarkError: there are none, or the two wrote different rows, vectors or prosody.
    """
    archives = sorted(scan_landing(reference.landing_calls).pairs)
    same = [_hashes(ours, archive) == _hashes(reference, archive) for archive in archives]
    if not (same and all(same)):
        raise BenchmarkError(f"{same.count(False)} of {len(same)} archives differ", "equal files", "correct `defs`")
    return len(archives)


def _hashes(paths: StoragePaths, archive: str) -> list[str]:
    files = paths.archive(archive)
    return [file_hash(path) for path in (files.processed_csv, files.vectors, files.prosody)]
