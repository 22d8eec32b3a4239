import tomllib
from pathlib import Path

import pytest

import urgency_dagster
from docs.generate.modules import SUBJECTS, import_rules, module_tables, public_names
from urgency_dagster_tests.docs.markdown import ROOT

PACKAGE = Path(urgency_dagster.__file__).parent


def test_every_module_is_named_with_the_first_line_of_its_docstring() -> None:
    page = module_tables()
    sections = page.split("### `")[1:]
    for file in [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        relative = file.relative_to(ROOT)
        top = "urgency_dagster" if len(relative.parts) == 2 else "/".join(relative.parts[:2])
        folder = "benchmarks" if relative.parts[0] == "benchmarks" else top
        section = next(section for section in sections if section.startswith(f"{folder}/`"))
        summary = ast_summary(file)
        assert summary, f"{relative} has no docstring"
        if relative.name != "__init__.py":
            assert f"`{relative.relative_to(folder).as_posix()}` | {summary}" in section


def ast_summary(file: Path) -> str:
    first = file.read_text(encoding="utf-8").removeprefix('"""').partition("\n")[0]
    return first.removesuffix('"""').replace("|", r"\|")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_public_name_is_described(subject: str) -> None:
    from importlib import import_module

    door = import_module(f"urgency_dagster.{subject}")
    names = public_names(subject)
    assert list(names) == list(door.__all__)
    assert [name for name, summary in names.items() if not summary] == []


def test_every_import_rule_is_named() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert import_rules().splitlines() == [f"- {contract['name']}" for contract in contracts]
