"""The files beside the code say the same: the checks before a commit, the checks of CI, and the commands of make."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import urgency_dagster

REPOSITORY = Path(__file__).parents[2]


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def hooks() -> list[dict[str, Any]]:
    config = yaml.safe_load(text(".pre-commit-config.yaml"))
    return [hook for repository in config["repos"] for hook in repository["hooks"]]


def test_hooks_fetch_nothing() -> None:
    config = yaml.safe_load(text(".pre-commit-config.yaml"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks()} == {"system"}


def test_hooks_run_the_tools_of_make_check() -> None:
    recipe = text("Makefile").split("\ncheck: setup")[1].split("\n\n")[0]
    checks = [line.split() for line in re.findall(r"\$\(BIN\)/(.+)", recipe)]
    entries = [hook["entry"].removeprefix(".venv/bin/").split() for hook in hooks()]
    subcommands = [[word for word in words if word not in (".", "--check", "--force-exclude")] for words in checks]
    assert subcommands == [[word for word in words if word not in ("--check", "--force-exclude")] for words in entries]


def test_ci_calls_what_a_reader_can_call() -> None:
    job = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["check-and-test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert re.findall(r"^make (\w+)$", text(".ci/run"), re.MULTILINE) == ["check", "test"]


def test_every_command_of_make_is_declared() -> None:
    makefile = text("Makefile")
    declared = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split()
    assert set(declared) == set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_types_are_shipped() -> None:
    assert Path(urgency_dagster.__file__).with_name("py.typed").is_file()


def test_the_version_comes_from_the_tags() -> None:
    assert not re.search(r"^version = ", text("pyproject.toml"), re.MULTILINE)
    assert re.match(r"\d+\.\d+", version("urgency-dagster"))


@pytest.mark.parametrize("field", ["title", "authors", "license", "references"])
def test_the_citation_has_its_fields(field: str) -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation[field]
    assert "71768" in json.dumps(citation["references"])
    assert "10.1038/s41597-023-02248-2" in json.dumps(citation["references"])
