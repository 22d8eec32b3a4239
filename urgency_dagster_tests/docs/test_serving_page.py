"""The page about serving: its examples run against a server, and its metrics are those of the server."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pytest
import soundfile
from prometheus_client.parser import text_string_to_metric_families

from urgency_dagster.cli import main
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig
from urgency_dagster_tests.docs.markdown import BLOCK, blocks, read, tables
from urgency_dagster_tests.serving.conftest import ServedRoot, served_root, spoken, text_model
from urgency_dagster_tests.serving.stream.conftest import listening_server, speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["served_root", "speech", "spoken", "text_model"]

PAGE = read("docs/serving.md")

ADDRESS = "127.0.0.1:8000"
"""The address that the examples ask."""

INSTALLED_BEFORE = re.compile(r"^(pip install|urgency-dagster serve)", re.MULTILINE)
"""Examples that install and start the server."""

BY_NAME = {"probabilities", "models"}
"""Objects whose names depend on the data."""


@pytest.fixture(scope="module")
def folder(served_root: ServedRoot, speech: "NDArray[np.int16]", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `storage/demo`. Its first call can be heard."""
    folder = tmp_path_factory.mktemp("examples")
    paths = StoragePaths(folder / "storage" / "demo")
    shutil.copytree(served_root.paths.root, paths.root)
    table = pd.read_csv(paths.root / "calls" / "V_광주_구급" / "processed_data.csv")
    soundfile.write(paths.root / str(table["wav_file_path"][0]), speech, 16_000)
    features = paths.root / "attention" / "features.parquet"
    features.parent.mkdir(exist_ok=True)
    served_root.data.X.to_parquet(features)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with listening_server(ServingConfig(folder / "storage" / "demo")) as url:
        yield urlsplit(url).netloc


@pytest.fixture(scope="module")
def answers(folder: Path, address: str) -> list[tuple[str, str, str]]:
    """Each example that was run, what it printed, and what the page says; empty if the page says nothing."""
    found = BLOCK.findall(PAGE.replace(ADDRESS, address))
    examples = [
        (language, code, after if kind == "json" else "")
        for (language, code), (kind, after) in pairwise([*found, ("", "")])
        if language in ("bash", "python") and not INSTALLED_BEFORE.search(code)
    ]
    run = {"bash": printed_by_bash, "python": printed_by_python}
    with chdir(folder):
        return [(code, run[language](code), said) for language, code, said in examples]


def printed_by_bash(code: str) -> str:
    return subprocess.run(["bash", "-euc", code], check=True, capture_output=True, text=True, timeout=300).stdout


def printed_by_python(code: str) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "serving.md", "exec"), {"__name__": "example"})
    return printed.getvalue()


def differences(said: Any, answered: Any, place: str = "") -> Iterator[str]:
    """The places at which an answer has another shape than the page says. An empty list and null fit everything."""
    if said is None or answered is None:
        return
    if isinstance(said, dict) and isinstance(answered, dict):
        if place.rpartition("/")[2] in BY_NAME:
            (first, *_) = said.values()
            said = dict.fromkeys(answered, first)
        if said.keys() != answered.keys():
            yield f"{place}: {sorted(said.keys() ^ answered.keys())}"
        for key in said.keys() & answered.keys():
            yield from differences(said[key], answered[key], f"{place}/{key}")
    elif isinstance(said, list) and isinstance(answered, list):
        for entry in answered if said else ():
            yield from differences(said[0], entry, f"{place}/0")
    elif _kind(said) != _kind(answered):
        yield f"{place}: {_kind(said)} and {_kind(answered)}"


def _kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def test_differences_are_found() -> None:
    said = {"a": [{"b": 1, "probabilities": {"x": 0.5}}], "c": "text"}
    assert list(differences(said, {"a": [{"b": 2.5, "probabilities": {"y": 1}}], "c": "other"})) == []
    assert list(differences(said, {"a": [], "c": 1})) == ["/c: str and number"]
    assert list(differences(said, {"a": [{"b": True, "probabilities": {"y": "1"}}]})) != []


@pytest.mark.slow
def test_the_examples_print_what_the_page_says(answers: list[tuple[str, str, str]]) -> None:
    compared = [(code, printed, said) for code, printed, said in answers if said]
    assert len(compared) >= 10
    for code, printed, said in compared:
        assert list(differences(json.loads(said), json.loads(printed))) == [], code


@pytest.mark.slow
def test_the_recording_alone_is_answered_too(answers: list[tuple[str, str, str]]) -> None:
    (printed,) = [printed for code, printed, _ in answers if "--data-binary" in code]
    assert json.loads(printed)["utterances"]


@pytest.mark.slow
def test_the_metrics_are_those_of_the_server(answers: list[tuple[str, str, str]], address: str) -> None:
    assert answers
    (table,) = [table for table in tables(PAGE) if table[0][0] == "metric"]
    named = {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in table[1:]}
    assert named == _metrics(address)


def _metrics(address: str) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric of the server."""
    families = text_string_to_metric_families(httpx.get(f"http://{address}/metrics", timeout=300).text)
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in families
        if not family.name.endswith("_created")
    }


def test_the_dashboard_asks_for_the_metrics_of_the_page() -> None:
    dashboard = json.loads(read("docs/serving-dashboard.json"))
    (table,) = [table for table in tables(PAGE) if table[0][0] == "metric"]
    named = {row[0].strip("`") for row in table[1:]}
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"urgency_dagster_\w+", target["expr"])
    }
    assert asked == named


def test_the_dashboard_shows_labels_that_exist() -> None:
    (table,) = [table for table in tables(PAGE) if table[0][0] == "metric"]
    labels = {label for row in table[1:] for label in re.findall(r"`(\w+)`", row[2])}
    dashboard = read("docs/serving-dashboard.json")
    used = set(re.findall(r"{{(\w+)}}", dashboard))
    used |= {name for group in re.findall(r"by \(([^)]*)\)", dashboard) for name in group.split(", ")} - {"le"}
    assert used
    assert used - labels == set()


def test_the_commands_that_start_a_server_are_accepted() -> None:
    lines = [line.split() for code in blocks(PAGE, "bash") for line in code.splitlines()]
    starts = [line[2:] for line in lines if line[:2] == ["urgency-dagster", "serve"]]
    assert len(starts) == 3
    for arguments in starts:
        main.commands["serve"].make_context("serve", list(arguments))


def test_the_size_of_a_body_in_the_proxies_is_that_of_the_server() -> None:
    (size,) = re.findall(r"client_max_body_size (\d+)m;", PAGE)
    (same,) = re.findall(r"max_size (\d+)MiB", PAGE)
    assert int(size) << 20 == int(same) << 20 == ServingConfig().limits.body_bytes
    (timeout_s,) = re.findall(r"proxy_read_timeout (\d+)s;", PAGE)
    assert int(timeout_s) > ServingConfig().limits.request_s


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    (unit,) = blocks(PAGE, "ini")
    file = tmp_path / "urgency-dagster.service"
    command = "/opt/urgency-dagster/.venv/bin/urgency-dagster"
    assert f"ExecStart={command} serve" in unit
    file.write_text(unit.replace(command, sys.executable), encoding="utf-8")
    verify = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(verify, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, timeout=300)
    assert [line for line in done.stderr.splitlines() if file.name in line] == []
    assert done.returncode == 0, done.stderr
