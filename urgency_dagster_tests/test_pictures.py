"""Drawing of PNG pictures."""

import sys
from pathlib import Path

import pytest

from urgency_dagster.pictures import BLUE, picture

PNG = b"\x89PNG\r\n\x1a\n"


def draw(target: Path, heights: tuple[int, ...] = (1, 2, 3), **size: float) -> None:
    with picture(target, **size) as axes:
        axes.bar(range(len(heights)), heights, color=BLUE)
        axes.set_title("Kept")


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "deep" / "b.png")
    draw(tmp_path / "c.png", heights=(1, 2, 4))
    first, same, other = ((tmp_path / name).read_bytes() for name in ("a.png", "deep/b.png", "c.png"))
    assert first.startswith(PNG)
    assert first == same
    assert first != other


def test_the_size_is_in_inches(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", width_in=2.0, height_in=1.0)
    content = (tmp_path / "a.png").read_bytes()
    assert [int.from_bytes(content[i : i + 4], "big") for i in (16, 20)] == [220, 110]


def test_a_failed_drawing_keeps_the_old_picture(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ValueError, match="shape"), picture(tmp_path / "a.png") as axes:
        axes.plot([1, 2], [1, 2, 3])
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_no_display_and_no_global_state_are_needed(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
