"""The public door of the subject."""

import subprocess
import sys

import pytest

import urgency_dagster.attention as attention

HEAVY = ("pandas", "ray", "sklearn", "lightgbm", "xgboost", "dagster", "pyarrow", "torch")


def test_every_public_name_exists() -> None:
    assert "load_model" in dir(attention)
    assert [name for name in dir(attention) if getattr(attention, name, None) is None] == []


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute fit"):
        getattr(attention, "fit")  # noqa: B009 - a type checker refuses the name


@pytest.mark.slow
def test_importing_the_door_loads_no_heavy_library() -> None:
    code = "import sys, urgency_dagster.attention; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(HEAVY) & set(printed.split())
