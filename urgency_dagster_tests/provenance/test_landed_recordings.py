"""The version of an archive of recordings: the names of all files, and the content of those that are read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import CALL_ARCHIVE, SCORING_ARCHIVE
from urgency_dagster.provenance.landed import LandedContent


@pytest.fixture
def folder(paths: StoragePaths) -> Path:
    folder = paths.landing_scoring / "mon"
    folder.mkdir(parents=True)
    for name in ("a.wav", "a.json", "list.txt"):
        (folder / name).write_text(name)
    return folder


def version(paths: StoragePaths) -> str:
    return LandedContent(paths).content_hash(SCORING_ARCHIVE, "mon")


def touched(folder: Path) -> None:
    os.utime(folder / "a.wav", (1, 1))


def another_text(folder: Path) -> None:
    (folder / "list.txt").write_text("other")


@pytest.mark.parametrize("change", [touched, another_text])
def test_it_stays(paths: StoragePaths, folder: Path, change: Callable[[Path], None]) -> None:
    before = version(paths)
    change(folder)
    assert version(paths) == before


def other_audio(folder: Path) -> None:
    (folder / "a.wav").write_text("other")


def other_label(folder: Path) -> None:
    (folder / "a.json").write_text("other")


def renamed(folder: Path) -> None:
    (folder / "a.wav").rename(folder / "b.wav")


def one_more_text(folder: Path) -> None:
    (folder / "more.txt").write_text("")


@pytest.mark.parametrize("change", [other_audio, other_label, renamed, one_more_text])
def test_it_changes(paths: StoragePaths, folder: Path, change: Callable[[Path], None]) -> None:
    before = version(paths)
    change(folder)
    assert version(paths) != before


def test_it_is_known_without_reading_after_it_was_hashed(paths: StoragePaths, folder: Path) -> None:
    assert LandedContent(paths).known_version(SCORING_ARCHIVE, "mon") is None
    hashed = version(paths)
    assert LandedContent(paths).known_version(SCORING_ARCHIVE, "mon") == hashed
    other_audio(folder)
    assert LandedContent(paths).known_version(SCORING_ARCHIVE, "mon") is None


def test_its_size_and_partitions_are_its_own(paths: StoragePaths, folder: Path) -> None:
    landed = LandedContent(paths)
    assert landed.partitions(SCORING_ARCHIVE) == ["mon"]
    assert landed.partitions(CALL_ARCHIVE) == []
    assert landed.size_bytes(SCORING_ARCHIVE, "mon") == len("a.wav" + "a.json")


def test_an_archive_that_is_gone_says_so(paths: StoragePaths) -> None:
    with pytest.raises(ArchiveError, match="copy it there again"):
        LandedContent(paths).recordings("mon")
    assert LandedContent(paths).version(SCORING_ARCHIVE, "mon") is None
