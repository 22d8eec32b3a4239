"""The public names of the subject, and how light they are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from urgency_dagster import calls

HEAVY = ("torch", "transformers", "ray", "librosa", "sklearn", "matplotlib", "openvino", "dagster", "soxr")


def test_every_public_name_is_there() -> None:
    assert [name for name in calls.__all__ if getattr(calls, name, None) is None] == []
    assert set(dir(calls)) == set(calls.__all__)


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(Path(str(calls.__file__)).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: str(node.module).removeprefix("urgency_dagster.calls.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == calls._MODULES
    assert sorted(seen) == sorted(calls.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'embed'"):
        calls.embed  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import urgency_dagster.calls", (*HEAVY, "numpy", "pandas", "pyarrow")),
        ("from urgency_dagster.calls import *", (*HEAVY, "pandas")),
    ],
)
def test_importing_the_door_loads_nothing_heavy(code: str, absent: tuple[str, ...]) -> None:
    script = f"{code}\nimport sys; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
