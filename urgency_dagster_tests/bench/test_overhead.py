from pathlib import Path

import pytest

from urgency_dagster.bench.overhead import OverheadSize, Process, check_equal, compare_overhead
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.storage import StoragePaths


@pytest.mark.slow
def test_the_benchmark_runs_and_dagster_writes_what_the_plain_process_writes():
    comparison = compare_overhead(OverheadSize(archives=1, runs=1))
    assert (comparison.name, comparison.unit) == ("overhead", "seconds")
    assert comparison.ratio == comparison.ours.median / comparison.reference.median
    assert comparison.details["archives"] == 1
    assert comparison.details["added_s"] == comparison.ours.median - comparison.reference.median


@pytest.mark.parametrize("changed", ["processed_csv", "vectors"])
def test_results_that_differ_cannot_be_compared(build, tmp_path, changed):
    one, other = StoragePaths(tmp_path / "one"), StoragePaths(tmp_path / "other")
    for paths in (one, other):
        for archive in ("T_광주_구급", "V_광주_구급"):
            build.pair(paths.landing_calls, archive, *build.calls())
            paths.archive(archive).folder.mkdir(parents=True)
            for file in (paths.archive(archive).processed_csv, paths.archive(archive).vectors):
                file.write_bytes(b"equal")
    assert check_equal(one, other) == 2
    getattr(other.archive("T_광주_구급"), changed).write_bytes(b"different")
    with pytest.raises(BenchmarkError, match="1 of 2 archives differ"):
        check_equal(one, other)


def test_nothing_to_compare_is_an_error(tmp_path):
    with pytest.raises(BenchmarkError, match="0 of 0"):
        check_equal(StoragePaths(tmp_path), StoragePaths(tmp_path))


def test_every_run_has_a_fresh_copy_and_its_own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("URGENCY_SPEECH_MODEL", "another/model")
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
    template = tmp_path / "template"
    template.mkdir()
    (template / "landed").touch()
    code = "import os, pathlib; root = pathlib.Path(sys.argv[1]); assert [f.name for f in root.iterdir()] == ['landed']"
    code += "; (root / 'seen').write_text(' '.join(os.environ))"
    process = Process(template, tmp_path / "copies", runs=2, code=code)
    roots = [process.run(), process.run()]
    assert roots[0] != roots[1]
    seen = (roots[0] / "seen").read_text().split()
    assert "PATH" in seen
    assert not {"URGENCY_SPEECH_MODEL", "DAGSTER_HOME"}.intersection(seen)


def test_a_process_that_fails_says_so(tmp_path: Path):
    (tmp_path / "template").mkdir()
    process = Process(tmp_path / "template", tmp_path / "copies", runs=1, code="sys.exit('no such thing')")
    with pytest.raises(BenchmarkError, match=r"ended with 1 \(no such thing\)"):
        process.run()
