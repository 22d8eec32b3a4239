"""What the README promises, held against the code."""

import re
from pathlib import Path

import pytest

import urgency_dagster
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.settings import SPEECH_MODEL, TEXT_MODEL

PACKAGE = Path(urgency_dagster.__file__).parent
ROOT = PACKAGE.parent


@pytest.fixture(params=["README.md", "README.ko.md"])
def readme(request: pytest.FixtureRequest) -> str:
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_the_tree_names_every_module_and_no_other(readme: str) -> None:
    tree = readme.rpartition("```\nurgency_dagster/\n")[2].partition("```")[0]
    named = sorted(re.findall(r"\b\w+\.py\b", tree))
    modules = sorted(file.name for file in PACKAGE.rglob("*.py") if not file.name.startswith("__"))
    assert named == modules


def test_every_reject_reason_is_explained(readme: str) -> None:
    section = readme.partition("`rejects.parquet`")[2]
    assert [reason for reason in RejectReason if f"`{reason}`" not in section] == []


def test_settings_and_make_targets_are_there(readme: str) -> None:
    for name in (
        "URGENCY_STORAGE",
        "URGENCY_SPEECH_MODEL",
        "URGENCY_TEXT_MODEL",
        "URGENCY_EXECUTOR",
        SPEECH_MODEL,
        TEXT_MODEL,
    ):
        assert f"`{name}`" in readme
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"demo", "test", "dev", "check", "bench", "setup"} <= set(targets)
    assert all(f"make {target}" in readme for target in ("demo", "test", "dev", "check", "bench", "setup"))


def test_every_stage_of_the_graph_is_drawn(readme: str) -> None:
    from urgency_dagster.defs.catalogue import CATALOGUE
    from urgency_dagster.operations.catalogue import op_name

    graph = readme.partition("```")[2].partition("```")[0]
    stages = {op_name(spec.key) for spec in CATALOGUE.specs}
    assert {stage for stage in stages if stage not in graph} == set()
