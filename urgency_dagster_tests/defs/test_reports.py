"""Reports on the pages: with their pictures, and without anything that the page would load or follow."""

import base64
from pathlib import Path

import pytest

from urgency_dagster.defs.reports import pictures, report_page

PNG = b"\x89PNG bytes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scores.png").write_bytes(PNG)
    return tmp_path


def page(folder: Path, text: str) -> str:
    (folder / "report.md").write_text(text, encoding="utf-8")
    return str(report_page(folder / "report.md").value)


def test_a_picture_beside_the_report_is_in_the_page(folder: Path) -> None:
    shown = page(folder, "# Scores\n\n![macro-F1 by model](scores.png)\n\n| a | b |\n")
    assert shown == f"# Scores\n\n{pictures(folder / 'scores.png').value}\n\n| a | b |"
    assert base64.b64encode(PNG).decode() in shown


def test_a_link_to_another_report_is_its_name(folder: Path) -> None:
    assert page(folder, "See [audit.md](audit.md).") == "See audit.md."


@pytest.mark.parametrize(
    "text",
    [
        "`x` ![](http://example.org/seen.png)",
        "![x](../secret.png)",
        "![x](other.png)",
        "[x](javascript:alert)",
        "<img src='http://example.org/seen.png'>",
    ],
)
def test_nothing_else_is_loaded_or_followed(folder: Path, text: str) -> None:
    shown = page(folder, text)
    assert "](" not in shown
    assert "<" not in shown
