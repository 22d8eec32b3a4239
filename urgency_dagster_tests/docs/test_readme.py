"""README.md and README.ko.md: they say the same, and what they say works."""

import re
import subprocess
from pathlib import Path

import pytest

from urgency_dagster_tests.defs.conftest import COMMAND, environment
from urgency_dagster_tests.docs.markdown import (
    ROOT,
    blocks,
    code_spans,
    headings,
    links,
    read,
    tables,
    without_comments,
)

READMES = ("README.md", "README.ko.md")
MAX_LINES = 130
MAX_PICTURE_BYTES = 400_000

Finished = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(params=READMES)
def readme(request: pytest.FixtureRequest) -> str:
    return read(request.param)


@pytest.fixture
def english() -> str:
    return read("README.md")


@pytest.fixture
def korean() -> str:
    return read("README.ko.md")


def test_both_have_the_same_headings(english: str, korean: str) -> None:
    assert headings(english) == headings(korean)
    assert len(headings(english)) > 5


def test_both_have_the_same_tables(english: str, korean: str) -> None:
    pairs = list(zip(tables(english), tables(korean), strict=True))
    assert len(pairs) == 3
    for ours, theirs in pairs:
        assert [len(row) for row in ours] == [len(row) for row in theirs]
        for row, translated in zip(ours, theirs, strict=True):
            assert code_spans(" | ".join(row)) == code_spans(" | ".join(translated))
            assert links(" | ".join(row)) == links(" | ".join(translated))
            assert re.findall(r"0\.\d+", " ".join(row)) == re.findall(r"0\.\d+", " ".join(translated))


@pytest.mark.parametrize("language", ["bash", "python"])
def test_both_have_the_same_code(english: str, korean: str, language: str) -> None:
    ours, theirs = ([without_comments(code) for code in blocks(text, language)] for text in (english, korean))
    assert ours == theirs
    assert len(ours) >= 2


def test_both_have_the_same_links(english: str, korean: str) -> None:
    other = {"README.ko.md": "README.md"}
    assert [other.get(link, link) for link in links(english)] == links(korean)


def test_it_is_short(readme: str) -> None:
    assert len(readme.splitlines()) <= MAX_LINES


def test_every_link_leads_to_a_file(readme: str) -> None:
    missing = [link for link in links(readme) if not link.startswith("https://") and not (ROOT / link).is_file()]
    assert missing == []


def test_every_page_is_linked(readme: str) -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md")} - {"docs/index.md"}
    assert pages - set(links(readme)) == set()


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert len(pictures) >= 2
    assert [picture.name for picture in pictures if picture.stat().st_size >= MAX_PICTURE_BYTES] == []


def test_every_make_target_exists(readme: str) -> None:
    targets = set(re.findall(r"^(\w+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake (\w+)", "\n".join([*blocks(readme, "bash"), *code_spans(readme)])))
    assert {"demo", "dev", "docs"} <= named <= targets


def test_scores_of_the_demo_are_above_their_baselines(readme: str) -> None:
    scores = [[float(cell) for cell in row[1:]] for row in tables(readme)[1][1:]]
    assert len(scores) == 4
    assert all(score > baseline for score, baseline in scores)


@pytest.mark.slow
def test_the_python_examples_run(
    first_run: Finished,
    readme: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "demo").symlink_to(first_run[0])
    monkeypatch.chdir(tmp_path)
    for code in blocks(readme, "python"):
        exec(compile(code, "README", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"label='(상|중|하)'", printed)
    assert re.search(r"label=[01], probability=0\.\d+", printed)


def commands(text: str, name: str) -> list[list[str]]:
    """The arguments of each call of a command of `urgency-dagster`, with the command itself."""
    lines = [line.split() for code in blocks(text, "bash") for line in without_comments(code)]
    return [line[1:] for line in lines if line[0].endswith("urgency-dagster") and line[1] == name]


def said(root: Path, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command, variables = [str(COMMAND), *arguments], environment(root)
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_command_finds_nothing_to_do_on_a_finished_demo(finished_root: Path, english: str) -> None:
    (arguments,) = commands(english, "run")
    done = said(finished_root, arguments, finished_root)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout


@pytest.mark.slow
def test_the_command_answers_for_the_recordings_of_the_demo(first_run: Finished, english: str, tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "demo").symlink_to(first_run[0])
    (arguments,) = commands(english, "predict")
    done = said(tmp_path, arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rejected" not in done.stdout
    assert re.search(r"V_광주_구급/Wave/\w+\.wav +(상|중|하) ", done.stdout)
