import os
import shutil
import socket
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.calls.landing.scan import LINKED_FOLDER, NO_FILE, TEMPORARY_FOLDER, find_zips
from urgency_dagster_tests.calls.watching import watching

Files = dict[str, int]
"""Sizes in bytes by name."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    landing = tmp_path / "landing"
    landing.mkdir()
    return landing


def land(folder: Path, files: Files) -> None:
    for name, size in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def zips(folder: Path) -> dict[tuple[str, ...], str]:
    """The problem of each ZIP, an empty text for none, by the names of its files."""
    found = find_zips(folder).zips
    return {tuple(part.relative_to(folder).as_posix() for part in zip_.zip.parts): zip_.problem for zip_ in found}


def others(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): reason for path, reason in find_zips(folder).problems.items()}


def test_whole_zips_at_any_depth_in_order(folder: Path) -> None:
    land(folder, {"bb.zip": 1, "x/y/c.ZIP": 1, "a.Zip": 0, "x/d.zip": 1})
    assert list(zips(folder).items()) == [(("a.Zip",), ""), (("bb.zip",), ""), (("x/d.zip",), ""), (("x/y/c.ZIP",), "")]


def test_what_has_nothing_to_do_with_zips_is_passed_over(folder: Path) -> None:
    names = [
        "a.txt",
        "a.zip.txt",
        "a.zip.part1x",
        "a.zip.part-1",
        "a.zip.part١",
        "a.zipx",
        "a.z\u0130p",
        "zip",
        "a.gz",
        "a.7zip",
        "a.z1",
        "a.part0",
    ]
    land(folder, dict.fromkeys([*names, "._a.zip", "._a.zip.part0", "._a.tar", ".a.zip.toolong", "x.crdownload"], 1))
    assert (zips(folder), others(folder)) == ({}, {})


def test_no_folder_is_an_empty_one(folder: Path) -> None:
    assert (zips(folder / "nowhere"), others(folder / "nowhere")) == ({}, {})


def test_a_file_in_the_place_of_the_folder(folder: Path) -> None:
    land(folder, {"file": 1})
    assert find_zips(folder / "file").problems == {folder / "file": "cannot be read (Not a directory)"}


def test_a_name_in_its_composed_form(folder: Path) -> None:
    name = unicodedata.normalize("NFD", "TS_광주.zip")
    land(folder, {name: 1, f"{name}.part0".replace("TS", "TL"): 1})
    assert sorted(zip_.zip.name for zip_ in find_zips(folder).zips) == ["TL_광주.zip", "TS_광주.zip"]


@pytest.fixture
def deep(folder: Path) -> Iterator[int]:
    """The depth of a ZIP in a folder so deep that functions which call themselves give up."""
    depth = 1100
    before = Path.cwd()
    os.chdir(folder)
    for _ in range(depth):  # from inside, because not even pytest can remove such a path
        Path("d").mkdir()
        os.chdir("d")
    Path("a.zip").touch()
    yield depth
    for _ in range(depth):
        for path in Path().iterdir():
            path.unlink() if path.is_file() else path.rmdir()
        os.chdir("..")
    os.chdir(before)


def test_a_folder_deeper_than_python_may_call(folder: Path, deep: int) -> None:
    (found,) = find_zips(folder).zips
    assert len(found.zip.parts[0].relative_to(folder).parts) == deep + 1


class TestParts:
    def test_they_are_one_zip_in_numeric_order(self, folder: Path) -> None:
        land(folder, {"a.zip.part0": 9, "a.zip.part9": 91, "a.zip.part100": 5, "a.zip.part105": 0})
        (found,) = find_zips(folder).zips
        assert (found.zip.name, found.problem) == ("a.zip", "")
        assert [part.name for part in found.zip.parts] == [
            "a.zip.part0",
            "a.zip.part9",
            "a.zip.part100",
            "a.zip.part105",
        ]

    @pytest.mark.parametrize(
        ("files", "problem"),
        [
            ({"part5": 5}, "bytes 0 to 5 are missing: a.zip.part0 has not landed, or the part before it is short"),
            (
                {"part0": 5, "part6": 5},
                "bytes 5 to 6 are missing: a.zip.part5 has not landed, or the part before it is short",
            ),
            (
                {"part0": 5, "part5": 5, "part1073741824": 5},
                "bytes 10 to 1073741824 are missing: a.zip.part10 has not landed, or the part before it is short",
            ),
            ({"part0": 5, "part4": 5}, "a.zip.part4 begins before the part before it ends, at byte 5"),
            ({"part0": 5, "part00": 5}, "a.zip.part00 begins before the part before it ends, at byte 5"),
            ({"part0": 0, "part00": 5}, "a.zip.part00 begins before the part before it ends, at byte 0"),
            (
                {"part0": 0, "part1": 5},
                "bytes 0 to 1 are missing: a.zip.part0 has not landed, or the part before it is short",
            ),
        ],
    )
    def test_a_gap_or_an_overlap(self, folder: Path, files: dict[str, Any], problem: str) -> None:
        land(folder, {f"a.zip.{name}": size for name, size in files.items()})
        assert list(zips(folder).values()) == [problem]

    def test_case_and_composition_of_their_names_may_differ(self, folder: Path) -> None:
        land(folder, {"a가.zip.part0": 5, unicodedata.normalize("NFD", "A가.ZIP.Part5"): 5})
        (found,) = find_zips(folder).zips
        assert (found.zip.name, len(found.zip.parts), found.problem) == ("a가.zip", 2, "")

    def test_parts_in_two_folders_are_two_zips(self, folder: Path) -> None:
        land(folder, {"x/a.zip.part0": 5, "y/a.zip.part5": 5})
        assert [bool(problem) for problem in zips(folder).values()] == [False, True]

    def test_the_whole_zip_beside_its_parts(self, folder: Path) -> None:
        land(folder, {"a.zip": 10, "a.zip.part0": 5, "a.zip.part5": 5, "b.zip": 5})
        assert zips(folder) == {
            ("a.zip",): "its parts lie beside it and may still be joined; leave either it or them",
            (
                "a.zip.part0",
                "a.zip.part5",
            ): "a.zip lies beside it and may still be written; leave either it or its parts",
            ("b.zip",): "",
        }

    def test_a_part_that_is_no_file_is_named(self, folder: Path) -> None:
        land(folder, {"a.zip.part0": 5})
        (folder / "a.zip.part5").symlink_to(folder / "gone")
        assert list(zips(folder).values()) == ["a.zip.part5 is a link to a file that is not there"]


class TestUnfinished:
    @pytest.mark.parametrize(
        "twin",
        [
            *("a.zip.crdownload", "a.zip.part", "a.zip.tmp", "a.zip.partial", "a.zip.filepart", "a.zip.aria2"),
            *("a.zip.opdownload", "a.zip.download", "A.ZIP.CrDownload", "a.zip.7Gh3.tmp", ".a.zip.tmp"),
            *("a.1Bc-_2=3.zip.part", ".a.zip.Xy12Zz", ".a.zip.part12"),
            *(
                "a.zip.part0.crdownload",
                "a.zip.part5.part",
                "a.zip.part5.tmp",
                ".a.zip.part5.Xy12Zz",
                "A.Zip.Part0.PART",
            ),
        ],
    )
    def test_a_zip_waits_for_what_lies_beside_it(self, folder: Path, twin: str) -> None:
        land(folder, {"a.zip": 5, twin: 5, "b.zip": 5, "other/a.zip": 5})
        assert zips(folder) == {
            ("a.zip",): f"{twin} lies beside it, so it is still being copied",
            ("b.zip",): "",
            ("other/a.zip",): "",
        }
        target = twin[:5] if twin[:5] == "A.ZIP" or twin[:5] == "A.Zip" else "a.zip"
        assert others(folder) == {twin: f"an unfinished {target}: still being copied; delete it if that was given up"}

    def test_so_do_its_parts(self, folder: Path) -> None:
        land(folder, {"a.zip.part0": 5, "a.zip.part5": 5, "a.zip.part10.crdownload": 5})
        assert list(zips(folder).values()) == ["a.zip.part10.crdownload lies beside it, so it is still being copied"]

    def test_one_without_its_target(self, folder: Path) -> None:
        land(folder, {"a.zip.crdownload": 5, "download.tar.part": 5})
        assert zips(folder) == {}
        assert others(folder) == {
            "a.zip.crdownload": "an unfinished a.zip: still being copied; delete it if that was given up",
            "download.tar.part": "an unfinished download.tar: still being copied; delete it if that was given up",
        }

    def test_decomposed_names_meet(self, folder: Path) -> None:
        land(folder, {"광주.zip": 5, unicodedata.normalize("NFD", "광주.zip.part"): 5})
        assert list(zips(folder).values()) == ["광주.zip.part lies beside it, so it is still being copied"]

    @pytest.mark.parametrize("name", [".rsync-partial", ".~tmp~", ".Trash-0/files", "a.zip.download"])
    def test_folders_of_copying_tools(self, folder: Path, name: str) -> None:
        files = [f"{name}/{file}" for file in ("a.zip", "b.zip.part0", "c.tar")]
        land(folder, dict.fromkeys(files, 5))
        assert zips(folder) == {}
        assert {file: reason for file, reason in others(folder).items() if file in files} == dict.fromkeys(
            files, TEMPORARY_FOLDER
        )

    def test_a_download_of_safari_is_a_folder(self, folder: Path) -> None:
        land(folder, {"a.zip": 5, "a.zip.download/a.zip": 5})
        assert list(zips(folder).values()) == ["a.zip.download lies beside it, so it is still being copied"]
        assert sorted(others(folder)) == ["a.zip.download", "a.zip.download/a.zip"]

    def test_a_hidden_folder_above_does_not_matter(self, tmp_path: Path) -> None:
        land(tmp_path / ".hidden", {"a.zip": 5})
        assert zips(tmp_path / ".hidden") == {("a.zip",): ""}


def test_a_tar_is_found(folder: Path) -> None:
    land(folder, {"download.tar": 5, "x/OTHER.TAR": 5})
    (folder / "gone.tar").symlink_to("nowhere")
    assert find_zips(folder).tars == [folder / "download.tar", folder / "x/OTHER.TAR"]
    assert others(folder) == {"gone.tar": "a link to a file that is not there"}


class TestNoFiles:
    @pytest.mark.parametrize("name", ["a.zip", "a.zip.part0", "a.tar"])
    def test_a_folder(self, folder: Path, name: str) -> None:
        land(folder, {f"{name}/b.zip": 5})
        assert others(folder) == {name: NO_FILE}
        assert zips(folder) == {(f"{name}/b.zip",): ""}, "what lies in it is found"

    @pytest.mark.parametrize("name", ["a.zip", "folder", "a.tar"])
    def test_a_link_to_a_folder_is_not_followed(self, folder: Path, name: str) -> None:
        land(folder, {"real/b.zip": 5})
        (folder / name).symlink_to(folder)
        assert others(folder) == {name: LINKED_FOLDER}
        assert zips(folder) == {("real/b.zip",): ""}

    def test_a_link_to_a_file_is(self, folder: Path, tmp_path: Path) -> None:
        land(tmp_path, {"elsewhere": 5})
        (folder / "a.zip").symlink_to(tmp_path / "elsewhere")
        assert zips(folder) == {("a.zip",): ""}

    def test_a_link_to_nothing_and_one_to_itself(self, folder: Path) -> None:
        (folder / "a.zip").symlink_to(folder / "gone")
        (folder / "b.zip").symlink_to(folder / "b.zip")
        (folder / "c.txt").symlink_to(folder / "gone")
        assert zips(folder) == {
            ("a.zip",): "a link to a file that is not there",
            ("b.zip",): "unreadable (Too many levels of symbolic links)",
        }

    def test_a_socket_a_pipe_and_a_device(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("a.zip")
            os.mkfifo(folder / "b.zip")
            (folder / "c.zip").symlink_to("/dev/zero")
            assert set(zips(folder).values()) == {"no regular file"}
            assert len(zips(folder)) == 3


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A landing folder, looked at by a user to whom permissions apply."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        is_root = os.getuid() == 0
        if is_root:
            os.setresuid(65534, 65534, 0)
        try:
            yield folder
        finally:
            if is_root:
                os.setresuid(0, 0, 0)
            for path in folder.iterdir():
                path.chmod(0o700)


def test_what_may_not_be_read(as_nobody: Path) -> None:
    land(as_nobody, {"a.zip": 5, "shut/b.zip": 5, "c.zip": 5})
    (as_nobody / "a.zip").chmod(0)
    (as_nobody / "shut").chmod(0)
    assert zips(as_nobody) == {("a.zip",): "unreadable (no permission)", ("c.zip",): ""}
    assert others(as_nobody) == {"shut": "cannot be read (Permission denied)"}


def test_a_folder_that_goes_meanwhile_is_none(folder: Path) -> None:
    land(folder, {"gone/a.zip": 1, "b.zip": 1})

    def remove(path: Path) -> None:
        if path == folder / "gone":
            shutil.rmtree(path, ignore_errors=True)

    with watching(remove):
        found = find_zips(folder)
    assert [zip_.zip.name for zip_ in found.zips] == ["b.zip"]
    assert found.problems == {}
