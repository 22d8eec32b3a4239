import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks.measure import Side, in_turns
from benchmarks.report import Comparison, by_rate
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.writing import read_json


def compare_sleeping() -> Comparison:
    """A benchmark that takes no time; those of the project are tried in the tests of their own modules."""
    short, long = in_turns(Side(lambda: time.sleep(0.001), 3), Side(lambda: time.sleep(0.01), 3))
    return by_rate("decode", "naps/s", short.rate(1), long.rate(1), {})


def fail() -> None:
    raise BenchmarkError("the two ways differ", "the same", "correct one")


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command on a storage root of its own, with short benchmarks in the place of long ones."""
    monkeypatch.setenv("URGENCY_STORAGE", str(tmp_path))
    monkeypatch.setattr(command, "BENCHMARKS", {"decode": compare_sleeping, "train": fail})
    return partial(CliRunner().invoke, command.main)


def test_there_are_seven_benchmarks() -> None:
    assert list(command.BENCHMARKS) == ["decode", "embed", "train", "cv", "score", "serve", "overhead"]


@pytest.mark.slow
def test_all_run_and_each_prints_its_row_and_writes_its_figures(invoke: Any, tmp_path: Path) -> None:
    result = invoke([])
    assert result.exit_code == 1
    assert any(line.startswith("decode ") and line.endswith("naps/s") for line in result.output.splitlines())
    stored = read_json(tmp_path / "bench" / "decode.json")
    assert {"name", "ours", "reference", "ratio", "unit", "machine", "date"} <= stored.keys()
    assert [file.name for file in (tmp_path / "bench").iterdir()] == ["decode.json"]
    assert "train: the two ways differ; expected the same" in result.output


@pytest.mark.slow
def test_only_a_named_one_runs_and_a_failure_is_one_sentence(invoke: Any, tmp_path: Path) -> None:
    result = invoke(["train"])
    assert result.exit_code == 1
    assert "train: the two ways differ; expected the same" in result.output
    assert "decode" not in result.output
    assert not (tmp_path / "bench").exists()


def test_an_unknown_name_is_refused(invoke: Any) -> None:
    result = invoke(["speed"])
    assert result.exit_code == 2
    assert "decode" in result.output
