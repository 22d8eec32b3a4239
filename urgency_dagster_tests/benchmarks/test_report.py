import os
import re
import socket
from pathlib import Path

from benchmarks.measure import Figures
from benchmarks.report import HEADER, as_cost, by_duration, by_rate, machine, row, write_comparison
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import read_json

FAST, SLOW = Figures(3, 20.0, 10.0, 40.0), Figures(1, 5.0, 5.0, 5.0)


def test_a_higher_rate_and_a_shorter_duration_are_better() -> None:
    assert by_rate("decode", "utterances/s", ours=FAST, reference=SLOW, details={}).ratio == 4
    assert by_duration("cv", ours=SLOW, reference=FAST, details={}).ratio == 4


def test_a_cost_says_how_many_times_as_long_ours_takes() -> None:
    cost = as_cost("overhead", ours=FAST, reference=SLOW, details={})
    assert cost.ratio == 4
    assert "as long" in cost.ratio_is
    assert "as long" in row(cost)


def test_a_row_stands_under_its_header() -> None:
    line = row(by_rate("decode", "utterances/s", FAST, SLOW, {}))
    assert line.split() == ["decode", "20", "5", "4.0x", "utterances/s"]
    for title, value in (("ours", "20"), ("reference", "5"), ("ratio", "4.0x")):
        assert HEADER.index(title) + len(title) == line.index(value) + len(value)


def test_the_json_says_what_where_and_when(tmp_path: Path) -> None:
    comparison = by_rate("decode", "utterances/s", FAST, SLOW, {"calls": 8})
    target = write_comparison(StoragePaths(tmp_path), comparison)
    assert target == tmp_path / "bench" / "decode.json"
    stored = read_json(target)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored.pop("date"))
    assert stored == {
        "name": "decode",
        "unit": "utterances/s",
        "ours": 20.0,
        "reference": 5.0,
        "ratio": 4.0,
        "ratio_is": "how many times better ours is",
        "runs": {"ours": 3, "reference": 1},
        "spread": {"ours": [10.0, 40.0], "reference": [5.0, 5.0]},
        "machine": machine(),
        "details": {"calls": 8},
    }


def test_the_machine_is_its_processor_and_cores_and_no_name() -> None:
    described = machine()
    assert f"{os.cpu_count()} core" in described
    assert re.search(r"[A-Za-z]{3}.*, \d+ cores?$", described)
    assert socket.gethostname() not in described
