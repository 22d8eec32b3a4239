"""The public names of the subject, and how light they are."""

import subprocess
import sys

import pytest

from urgency_dagster import calls

HEAVY = ("torch", "transformers", "ray", "librosa", "sklearn", "matplotlib", "openvino", "dagster", "soxr")


def test_every_public_name_is_there() -> None:
    assert "embed_archive" in dir(calls)
    assert [name for name in dir(calls) if getattr(calls, name, None) is None] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute embed"):
        getattr(calls, "embed")  # noqa: B009 - a type checker refuses the name


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
