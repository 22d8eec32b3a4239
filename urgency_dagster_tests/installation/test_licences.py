"""The page of licences lists every direct dependency with the licence that its metadata states."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "licences.md"
ROW = re.compile(r"^\| ([\w-]+) \| (\w+) \| (.+) \|$", re.MULTILINE)


def dependencies() -> list[tuple[str, str]]:
    """The name of each direct dependency and the part that requires it: `core` or an extra."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = {"core": project["dependencies"], **project["optional-dependencies"]}
    named = [(re.split(r"[\[<>=;~! ]", entry)[0], part) for part, entries in parts.items() for entry in entries]
    return [(name, part) for name, part in named if name != "urgency-dagster"]


def test_the_page_lists_exactly_the_direct_dependencies() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Direct dependencies")[1]
    listed = [(name, part) for name, part, _ in ROW.findall(table) if name != "package"]
    assert listed == dependencies()


def stated_licence(name: str) -> str | None:
    """The licence expression in the metadata of a package; None if it has none or is not installed."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return None
    expressions = stated.get_all("License-Expression")
    return str(expressions[0]) if expressions else None


def test_the_licences_are_those_of_the_metadata() -> None:
    page = PAGE.read_text(encoding="utf-8")
    stated = {(name, part): stated_licence(name) for name, part in dependencies()}
    assert sum(licence is not None for licence in stated.values()) > len(stated) // 3
    for (name, part), licence in stated.items():
        assert licence is None or f"| {name} | {part} | {licence} |\n" in page, name
