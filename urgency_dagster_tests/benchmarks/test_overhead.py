from pathlib import Path

import pytest

from benchmarks.growth import GrowthSize
from benchmarks.overhead import OverheadSize, check_equal, compare_overhead, write_landed
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.table.funnel import read_funnel
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.defs.call_assets import UtteranceOptions
from urgency_dagster.defs.checks import few_rejects
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.conftest import Builder


@pytest.mark.slow
def test_the_benchmark_runs_and_dagster_writes_what_the_plain_process_writes() -> None:
    comparison = compare_overhead(OverheadSize(archives=1, runs=1, growth=GrowthSize(done=1, runs=1)))
    assert (comparison.name, comparison.unit) == ("overhead", "seconds")
    assert comparison.ratio == comparison.ours.median / comparison.reference.median
    assert comparison.details["archives"] == 1
    assert comparison.details["added_s"] == comparison.ours.median - comparison.reference.median
    growth = [comparison.details[name] for name in ("one_more_s", "alone_s", "one_more_ratio")]
    assert growth[2] == growth[0] / growth[1] > 0


@pytest.mark.slow
def test_no_archive_of_the_full_size_is_stopped_for_its_rejects(tmp_path: Path) -> None:
    write_landed(tmp_path, OverheadSize())
    paths = StoragePaths(tmp_path)
    pairs = scan_landing(paths.landing_calls).pairs
    assert len(pairs) == OverheadSize().archives
    options = UtteranceOptions()
    for archive, pair in pairs.items():
        extract_pair(pair, paths.archive(archive), ExtractionConfig())
        build_utterance_table(paths, archive, workers=1)
        funnel = read_funnel(paths, archive)
        assert few_rejects(funnel, options.rejected_calls_max, options.rejected_utterances_max).passed, archive


@pytest.mark.parametrize("changed", ["processed_csv", "vectors", "prosody"])
def test_results_that_differ_cannot_be_compared(build: Builder, tmp_path: Path, changed: str) -> None:
    one, other = StoragePaths(tmp_path / "one"), StoragePaths(tmp_path / "other")
    for paths in (one, other):
        for archive in ("T_광주_구급", "V_광주_구급"):
            build.pair(paths.landing_calls, archive, *build.calls())
            files = paths.archive(archive)
            files.folder.mkdir(parents=True)
            for file in (files.processed_csv, files.vectors, files.prosody):
                file.write_bytes(b"equal")
    assert check_equal(one, other) == 2
    getattr(other.archive("T_광주_구급"), changed).write_bytes(b"different")
    with pytest.raises(BenchmarkError, match="1 of 2 archives differ"):
        check_equal(one, other)


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="0 of 0"):
        check_equal(StoragePaths(tmp_path), StoragePaths(tmp_path))
