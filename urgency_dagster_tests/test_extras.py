"""The extras that the code knows are those of `pyproject.toml`, and a missing one is one sentence."""

import re
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from urgency_dagster import extras
from urgency_dagster.cli import main
from urgency_dagster.errors import MissingExtraError
from urgency_dagster.extras import MODULES, Extra, require_extra

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def distributions(requirements: list[str]) -> set[str]:
    """The normalised names of the distributions of some requirements, without this project's own."""
    names = {re.split(r"[\[<>=;~! ]", requirement)[0] for requirement in requirements}
    return {normalised(name) for name in names} - {"urgency-dagster"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("extra", MODULES)
def test_the_modules_of_an_extra_are_those_of_its_distributions(extra: Extra) -> None:
    installed = packages_distributions()
    from_code = {normalised(name) for module in MODULES[extra] for name in installed[module]}
    assert distributions(PROJECT["optional-dependencies"][extra]) == from_code


def test_no_dependency_is_both_in_the_core_and_in_an_extra() -> None:
    core = distributions(PROJECT["dependencies"])
    for extra, requirements in PROJECT["optional-dependencies"].items():
        assert not core & distributions(requirements), extra


def test_espeak_is_in_the_demo_alone() -> None:
    """Its licence is GPL-3.0-or-later."""
    holding = [name for name, entries in PROJECT["optional-dependencies"].items() if "espeakng-loader" in str(entries)]
    assert holding == ["demo"]
    assert "espeakng-loader" not in str(PROJECT["dependencies"])


def test_installed_extras_pass() -> None:
    for extra in MODULES:
        require_extra(extra)


@pytest.mark.parametrize(("module", "extra"), [("dagster", "pipelines"), ("espeakng_loader", "demo")])
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, module: str, extra: Extra) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else find_spec(name))
    with pytest.raises(MissingExtraError) as raised:
        require_extra(extra)
    remedy = f"to fix it, pip install '.[{extra}]' in the repository"
    assert str(raised.value) == f"{module} is not installed; expected the extra `{extra}`; {remedy}"


@pytest.mark.parametrize("command", ["run", "demo", "dev"])
def test_a_command_without_its_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 1
    assert "pip install '.[" in result.output
    assert "Traceback" not in result.output
