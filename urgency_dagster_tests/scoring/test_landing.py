import unicodedata
from pathlib import Path

import pytest

from urgency_dagster.calls import LandingCache
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import ScoringLanding, scan_scoring
from urgency_dagster.scoring.landing import (
    BAD_NAME,
    LINKED_FOLDER,
    LOOSE,
    MAX_NAME_BYTES,
    NO_RECORDING,
    NO_RECORDING_BESIDE,
)
from urgency_dagster_tests.conftest import Builder


def land(paths: StoragePaths, *names: str) -> None:
    for name in names:
        (paths.landing_scoring / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.landing_scoring / name).write_bytes(b"content")


def scan(paths: StoragePaths) -> ScoringLanding:
    return scan_scoring(paths.landing_scoring, LandingCache(paths))


def test_a_missing_folder_is_empty(paths: StoragePaths) -> None:
    assert (scan(paths).archives, scan(paths).problems) == ({}, {})


def test_a_zip_a_folder_and_loose_files_are_one_archive_each(paths: StoragePaths, build: Builder) -> None:
    build.zip(paths.landing_scoring / "mon.zip", {"a.wav": b""})
    land(paths, "tue/x/a.wav", "tue/x/a.json", "tue/list.txt", "b.mp3", "b.json")
    landing = scan(paths)
    assert {name: (list(item.files), item.others) for name, item in landing.archives.items()} == {
        "mon": (["mon.zip"], ()),
        "tue": (["tue/x/a.json", "tue/x/a.wav"], ("tue/list.txt",)),
        LOOSE: (["b.json", "b.mp3"], ()),
    }
    assert not landing.problems


def test_a_folder_of_zips_is_one_archive(paths: StoragePaths, build: Builder) -> None:
    build.zip(paths.landing_scoring / "all/VS_x.zip", {"a.wav": b""})
    build.zip(paths.landing_scoring / "all/VL_x.zip", {"a.json": b""})
    assert list(scan(paths).archives) == ["all"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x.zip", "not a complete ZIP; still being copied, or damaged"),
        ("x.zip.part", "the temporary file of a copying tool"),
        ("x.wav.crdownload", "the temporary file of a copying tool"),
        (".hidden/a.wav", BAD_NAME),
        ("x.m4a", "convert it to WAV or FLAC"),
        ("notes.txt", "not a recording"),
        ("a.json", NO_RECORDING_BESIDE),
        ("texts/a.json", NO_RECORDING),
        ("one...two/a.wav", BAD_NAME),
        ("x" * (MAX_NAME_BYTES + 1) + "/a.wav", BAD_NAME),
    ],
)
def test_other_entries_have_a_reason(paths: StoragePaths, name: str, reason: str) -> None:
    land(paths, name)
    landing = scan(paths)
    assert not landing.archives
    ((entry, problem),) = landing.problems.items()
    assert entry == name.partition("/")[0]
    assert reason in problem


def test_a_linked_folder_is_not_followed(paths: StoragePaths, tmp_path: Path) -> None:
    land(paths, "a.wav")
    (tmp_path / "elsewhere").mkdir()
    (paths.landing_scoring / "link").symlink_to(tmp_path / "elsewhere")
    assert scan(paths).problems == {"link": LINKED_FOLDER}


def test_two_inputs_of_one_name_are_refused(paths: StoragePaths, build: Builder) -> None:
    build.zip(paths.landing_scoring / "Mon.zip", {"a.wav": b""})
    land(paths, "mon/a.wav", f"{LOOSE}/a.wav", "b.wav")
    landing = scan(paths)
    assert not landing.archives
    assert landing.problems.keys() == {"Mon.zip", "mon", LOOSE, "b.wav"}


def test_a_name_from_macos_is_composed(paths: StoragePaths) -> None:
    land(paths, unicodedata.normalize("NFD", "월요일") + "/a.wav")
    assert list(scan(paths).archives) == ["월요일"]


def test_files_of_macos_are_no_problem(paths: StoragePaths) -> None:
    land(paths, ".DS_Store", "._a.wav", "__MACOSX/a.wav")
    landing = scan(paths)
    assert (landing.archives, landing.problems) == ({}, {})
