import io
import os
import tarfile
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.landing.cache import NOT_WHOLE, LandingCache
from urgency_dagster.calls.landing.methods import REPACK
from urgency_dagster.calls.landing.names import printable
from urgency_dagster.calls.landing.pairs import NO_ZIP_INSIDE, UNPACKED_TOO, scan_landing
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.tars import NOT_WHOLE_TAR
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.calls.extracting import END, patched
from urgency_dagster_tests.calls.watching import watching
from urgency_dagster_tests.conftest import Builder

NFC, NFD = (unicodedata.normalize(form, "TS_광주_구급.zip") for form in ("NFC", "NFD"))


@pytest.fixture
def landing(paths: StoragePaths) -> Path:
    paths.landing_calls.mkdir(parents=True)
    return paths.landing_calls


def write_tar(target: Path, members: dict[str, bytes], format_: int = tarfile.GNU_FORMAT) -> None:
    with tarfile.open(target, "w", format=format_) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def touch_zip(build: Builder, *targets: Path) -> None:
    for target in targets:
        build.zip(target, {"a.wav": b"1"})


def test_a_pair_is_found_at_any_depth(landing: Path, build: Builder) -> None:
    audio = landing / "088.119/3.개방데이터/1.데이터/Training/1.원천데이터/TS_광주_구급.zip"
    labels = landing / "TL_광주_구급.zip"
    touch_zip(build, audio, labels)
    found = scan_landing(landing)
    assert found.problems == {}
    assert list(found.pairs) == ["T_광주_구급"]
    pair = found.pairs["T_광주_구급"]
    assert (pair.audio, pair.labels) == (LandedZip.whole(audio), LandedZip.whole(labels))


def test_training_and_validation_are_pairs_of_their_own(landing: Path, build: Builder) -> None:
    touch_zip(build, *(landing / f"{name}_서울_화재.zip" for name in ("TS", "TL", "VS", "VL")))
    assert sorted(scan_landing(landing).pairs) == ["T_서울_화재", "V_서울_화재"]


def test_decomposed_and_composed_hangul_are_one_name(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / NFD, landing / NFC.replace("TS", "TL"))
    pair = scan_landing(landing).pairs["T_광주_구급"]
    assert pair.audio.parts[0].name == NFD
    assert pair.audio.parts[0].is_file()


def test_small_letters_are_the_same_name(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "ts_x.ZIP", landing / "Tl_x.zip")
    assert list(scan_landing(landing).pairs) == ["T_x"]


@pytest.mark.parametrize(("there", "missing"), [("TS_x.zip", "TL_x.zip"), ("VL_x.zip", "VS_x.zip")])
def test_half_a_pair_waits_for_the_other(landing: Path, build: Builder, there: str, missing: str) -> None:
    touch_zip(build, landing / there)
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == {there: f"its partner {missing} has not landed"}


def test_the_same_name_in_two_folders_is_no_pair(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "a/TS_x.zip", landing / "b" / "TS_x.zip", landing / "TL_x.zip")
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == {
        **dict.fromkeys(("a/TS_x.zip", "b/TS_x.zip"), "lies here 2 times; leave one copy"),
        "TL_x.zip": "its partner TS_x.zip cannot be used yet: lies here 2 times; leave one copy",
    }


@pytest.mark.parametrize("content", [b"", b"no zip at all", "half"])
def test_a_file_that_is_no_whole_zip_waits(landing: Path, build: Builder, content: Any) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")
    whole = build.zipped({"a.wav": b"1" * 100})
    (landing / "TS_x.zip").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == {
        "TS_x.zip": NOT_WHOLE,
        "TL_x.zip": f"its partner TS_x.zip cannot be used yet: {NOT_WHOLE}",
    }


def test_a_zip_of_which_no_member_can_be_unpacked_is_named_with_its_method(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")
    whole = build.zipped({"a.wav": b"1" * 100})
    (landing / "TS_x.zip").write_bytes(patched(whole, 10, b"\x09\0"))
    reason = scan_landing(landing).problems["TS_x.zip"]
    assert reason == f"packed by Deflate64, which is not read; {REPACK}"


def test_one_member_of_another_method_does_not_cost_the_zip(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")
    whole = build.zipped({"a.wav": b"1" * 100, "b.wav": b"2"})
    (landing / "TS_x.zip").write_bytes(patched(whole, 10, b"\x09\0"))
    assert list(scan_landing(landing).pairs) == ["T_x"]


def test_a_link_to_nowhere_is_no_zip(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TL_x.zip")
    (landing / "TS_x.zip").symlink_to(landing / "gone.zip")
    assert scan_landing(landing).problems == {
        "TS_x.zip": "a link to a file that is not there",
        "TL_x.zip": "its partner TS_x.zip cannot be used yet: a link to a file that is not there",
    }


@pytest.mark.parametrize(
    "name", ["download.zip", "XS_a.zip", "TS-a.zip", "TS_.zip", "TX_a.zip", "TS_a...b.zip", "TS_a\nb.zip"]
)
def test_other_names_are_told_apart(landing: Path, build: Builder, name: str) -> None:
    touch_zip(build, landing / name, landing / name.replace("TS", "TL"))
    found = scan_landing(landing)
    assert found.pairs == {}
    assert all(reason.startswith("not named like an AI Hub archive") for reason in found.problems.values())
    assert all(shown.isprintable() for shown in found.problems)


def test_what_is_no_zip_is_not_looked_at(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip", landing / "._TS_x.zip")
    (landing / "readme.txt").write_text("hello")
    found = scan_landing(landing)
    assert list(found.pairs) == ["T_x"]
    assert found.problems == {}


def test_no_landing_folder_is_an_empty_one(tmp_path: Path) -> None:
    found = scan_landing(tmp_path / "nowhere")
    assert (found.pairs, found.problems) == ({}, {})


def test_one_bad_file_does_not_cost_the_other_pairs(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip", landing / "TS_y.zip", landing / "odd.zip")
    found = scan_landing(landing)
    assert list(found.pairs) == ["T_x"]
    assert sorted(found.problems) == ["TS_y.zip", "odd.zip"]


def test_a_name_in_an_old_code_page_is_reported_in_printable_form(landing: Path, build: Builder) -> None:
    for name in ("TS_광주.zip", "TL_광주.zip"):
        touch_zip(build, Path(os.fsdecode(os.fsencode(landing) + b"/" + name.encode("cp949"))))
    found = scan_landing(landing)
    assert found.pairs == {}
    assert sorted(found.problems) == ["TL_\ufffd\ufffd\ufffd\ufffd.zip", "TS_\ufffd\ufffd\ufffd\ufffd.zip"]


def test_a_folder_in_an_old_code_page_does_not_matter(paths: StoragePaths, landing: Path, build: Builder) -> None:
    folder = Path(os.fsdecode(os.fsencode(landing) + b"/" + "원천데이터".encode("cp949")))
    touch_zip(build, folder / "TS_x.zip", folder / "TL_x.zip")
    pair = scan_landing(landing).pairs["T_x"]
    assert len(LandingCache(paths).of_pair(pair.audio, pair.labels)) == 64


def test_names_that_look_the_same_are_counted(landing: Path, build: Builder) -> None:
    touch_zip(build, *(landing / f"TS_{letter}.zip" for letter in "\t\n\v"))
    assert list(scan_landing(landing).problems) == ["TS_\ufffd.zip", "TS_\ufffd.zip (2)", "TS_\ufffd.zip (3)"]


def test_names_that_differ_only_in_case_are_refused(landing: Path, build: Builder) -> None:
    touch_zip(build, *(landing / f"{name}.zip" for name in ("TS_Ab", "TL_Ab", "ts_aB", "tl_aB", "VS_Ab", "VL_aB")))
    found = scan_landing(landing)
    assert list(found.pairs) == ["V_Ab"], "named as the audio ZIP is"
    reason = "lies here 2 times, under names that differ only in case; leave one copy"
    assert found.problems == dict.fromkeys(("TL_Ab.zip", "TS_Ab.zip", "tl_aB.zip", "ts_aB.zip"), reason)


def test_names_that_differ_only_in_composition_are_refused(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / NFD, landing / NFC, landing / NFC.replace("TS", "TL"))
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == {
        NFC: "lies here 2 times; leave one copy",
        f"{NFC} (2)": "lies here 2 times; leave one copy",
        NFC.replace("TS", "TL"): f"its partner {NFC} cannot be used yet: lies here 2 times; leave one copy",
    }


def test_letters_that_only_look_like_a_prefix_are_none(landing: Path, build: Builder) -> None:
    # Without regard to case, a long s is an s, and a dotted capital I is an i, unless only ASCII counts.
    touch_zip(build, landing / "T\u017f_x.zip", landing / "TL_x.zip")
    found = scan_landing(landing)
    assert found.problems["T\u017f_x.zip"].startswith("not named like")
    assert found.problems["TL_x.zip"] == "its partner TS_x.zip has not landed"


def test_names_as_long_as_a_disk_allows(landing: Path, build: Builder) -> None:
    touch_zip(build, *(landing / f"{kind}_{'가' * 82}xx.zip" for kind in ("TS", "TL")))
    (archive,) = scan_landing(landing).pairs
    assert len(f"{archive}.json".encode()) == 255


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TL_x.7z", "a 7-Zip archive, which is not read; unpack it, and pack its files as TL_x.zip"),
        ("TL_x.7z.001", "a 7-Zip archive, which is not read; unpack it, and pack its files as TL_x.zip"),
        ("TL_x.rar", "a RAR archive, which is not read; unpack it, and pack its files as TL_x.zip"),
        ("TL_x.part1.RAR", "a RAR archive, which is not read; unpack it, and pack its files as TL_x.zip"),
        ("TL_x.alz", "an ALZip archive, which is not read; unpack it, and pack its files as TL_x.zip"),
        ("TL_x.egg", "an ALZip archive, which is not read; unpack it, and pack its files as TL_x.zip"),
        ("TL_x.zip.001", "a piece of a ZIP; join the pieces (cat TL_x.zip.* > TL_x.zip), then delete them"),
        ("TL_x.z01", "a volume of a split ZIP, which is not read; join them: zip -s 0 TL_x.zip --out joined.zip"),
        *(
            (name, "a compressed tar, which cannot be read in place; unpack it here (tar -xf), then delete it")
            for name in ("TL_x.tar.gz", "TL_x.tgz", "TL_x.tar.bz2", "TL_x.tbz", "TL_x.tar.xz", "TL_x.txz")
        ),
        ("TL_x.zip.part", "an unfinished TL_x.zip: still being copied; delete it if that was given up"),
    ],
)
def test_the_reason_of_another_format_is_the_partners_too(
    landing: Path, build: Builder, name: str, reason: str
) -> None:
    touch_zip(build, landing / "TS_x.zip")
    (landing / name).write_bytes(b"7z")
    assert scan_landing(landing).problems == {
        name: reason,
        "TS_x.zip": f"its partner TL_x.zip has not landed; {name} is here, which cannot be used",
    }


@pytest.mark.parametrize(("disk", "volume", "is_split"), [(2, 0, True), (2, 2, False), (0, 0, False)])
def test_the_last_volume_of_a_split_zip_is_named(
    landing: Path, build: Builder, disk: int, volume: int, is_split: bool
) -> None:
    """Source: `zip -s` puts the list of members into the last volume, where it is read without an error."""
    touch_zip(build, landing / "TL_x.zip")
    whole = patched(build.zipped({"a.wav": b"1"}), 34, volume.to_bytes(2, "little"))
    (landing / "TS_x.zip").write_bytes(patched(whole, 4, disk.to_bytes(2, "little") * 2, END))
    found = scan_landing(landing)
    assert ("a volume of a split ZIP" in found.problems.get("TS_x.zip", "")) == is_split
    assert bool(found.pairs) == (not is_split)


class TestTars:
    @pytest.fixture
    def zips(self, build: Builder) -> dict[str, bytes]:
        return {name: build.zipped({"a.wav": name.encode() * 9}) for name in ("TS_x.zip", "TL_x.zip")}

    def test_its_zips_are_a_pair_in_place(self, paths: StoragePaths, landing: Path, zips: dict[str, bytes]) -> None:
        """Source: `aihubshell` leaves a tar of the ZIPs' parts below the folders of the data set."""
        cut = len(zips["TS_x.zip"]) // 2
        members = {
            f"088/Training/원천/TS_x.zip.part{cut}": zips["TS_x.zip"][cut:],
            "088/Training/원천/TS_x.zip.part0": zips["TS_x.zip"][:cut],
            "088/Training/라벨/TL_x.zip": zips["TL_x.zip"],
            "088/guide.pdf": b"%PDF",
        }
        write_tar(landing / "download.tar", members)
        found = scan_landing(landing, LandingCache(paths))
        assert (list(found.pairs), found.problems) == (["T_x"], {})
        pair = found.pairs["T_x"]
        for landed in (pair.audio, pair.labels):
            with landed.open() as stream:
                assert stream.read() == zips[landed.name]
            assert landed.size_bytes == len(zips[landed.name])
        assert [path.name for path in landing.iterdir()] == ["download.tar"]

    def test_the_content_has_the_hash_of_the_unpacked_files(
        self, paths: StoragePaths, landing: Path, zips: dict[str, bytes]
    ) -> None:
        write_tar(landing / "download.tar", zips)
        in_tar = scan_landing(landing).pairs["T_x"]
        known = LandingCache(paths).of_pair(in_tar.audio, in_tar.labels)
        assert LandingCache(paths).known_pair(in_tar.audio, in_tar.labels) == known
        for name, content in zips.items():
            (landing / name).write_bytes(content)
        found = scan_landing(landing, LandingCache(paths))
        pair = found.pairs["T_x"]
        assert LandingCache(paths).of_pair(pair.audio, pair.labels) == known
        assert pair.audio.slices == (), "the file wins over the member"
        assert found.problems == dict.fromkeys((f"download.tar/{name}" for name in zips), UNPACKED_TOO)

    @pytest.mark.parametrize("left", [0, 100, 512, 700, -1024, -600])
    def test_a_growing_one_waits(self, landing: Path, zips: dict[str, bytes], left: int) -> None:
        write_tar(landing / "whole", zips)
        content = (landing / "whole").read_bytes().rstrip(b"\0")
        whole = content + bytes(-len(content) % 512 + 1024)
        (landing / "download.tar").write_bytes(whole[:left])
        assert scan_landing(landing).problems == {"download.tar": NOT_WHOLE_TAR}
        (landing / "download.tar").write_bytes(whole)
        assert list(scan_landing(landing).pairs) == ["T_x"]

    def test_a_missing_part_and_a_damaged_zip_are_named_by_their_member(
        self, landing: Path, zips: dict[str, bytes]
    ) -> None:
        write_tar(landing / "download.tar", {"a/TS_x.zip.part9": zips["TS_x.zip"][9:], "a/TL_x.zip": b"half"})
        gap = "bytes 0 to 9 are missing: TS_x.zip.part0 has not landed, or the part before it is short"
        assert scan_landing(landing).problems == {
            "download.tar/a/TS_x.zip.part9": gap,
            "download.tar/a/TL_x.zip": NOT_WHOLE,
        }

    def test_one_without_a_zip_and_one_with_another_format(self, landing: Path) -> None:
        write_tar(landing / "a.tar", {"x.txt": b"1"})
        write_tar(landing / "b.tar", {"y/TS_x.7z": b"1"})
        assert scan_landing(landing).problems == {
            "a.tar": NO_ZIP_INSIDE,
            "b.tar/y/TS_x.7z": "a 7-Zip archive, which is not read; unpack it, and pack its files as TS_x.zip",
        }

    def test_side_files_of_macos_inside_are_passed_over(self, landing: Path, zips: dict[str, bytes]) -> None:
        write_tar(landing / "download.tar", {**zips, "a/._TS_x.zip": b"\0\5\x16\7"})
        found = scan_landing(landing)
        assert (list(found.pairs), found.problems) == (["T_x"], {})

    def test_it_waits_for_an_unfinished_copy_beside_it(self, landing: Path, zips: dict[str, bytes]) -> None:
        write_tar(landing / "download.tar", zips)
        (landing / "download.tar.part").touch()
        found = scan_landing(landing)
        assert found.pairs == {}
        assert found.problems["download.tar"] == "download.tar.part lies beside it, so it is still being copied"

    def test_it_is_listed_once(self, paths: StoragePaths, landing: Path, zips: dict[str, bytes]) -> None:
        write_tar(landing / "download.tar", zips)
        scan_landing(landing, LandingCache(paths))
        read: list[str] = []
        with watching(lambda path: read.append(path.name)):
            assert list(scan_landing(landing, LandingCache(paths)).pairs) == ["T_x"]
        assert "download.tar" not in read


class TestParts:
    @pytest.fixture
    def whole(self, landing: Path, build: Builder) -> bytes:
        touch_zip(build, landing / "TL_x.zip")
        return build.zipped({"a.wav": b"1" * 100})

    def land(self, landing: Path, whole: bytes, *offsets: int) -> list[Path]:
        ends = [*offsets[1:], len(whole)]
        for offset, end in zip(offsets, ends, strict=True):
            (landing / f"TS_x.zip.part{offset}").write_bytes(whole[offset:end])
        return [landing / f"TS_x.zip.part{offset}" for offset in offsets]

    def test_they_are_one_zip_without_a_joined_copy(self, landing: Path, whole: bytes) -> None:
        parts = self.land(landing, whole, 0, 9, 100)
        found = scan_landing(landing)
        assert found.problems == {}
        assert found.pairs["T_x"].audio == LandedZip("TS_x.zip", tuple(parts))
        assert len(list(landing.iterdir())) == 4

    @pytest.mark.parametrize(
        ("missing", "reason"),
        [
            (0, "bytes 0 to 9 are missing: TS_x.zip.part0 has not landed, or the part before it is short"),
            (1, "bytes 9 to 100 are missing: TS_x.zip.part9 has not landed, or the part before it is short"),
            (2, f"{NOT_WHOLE}, or its last part is missing: TS_x.zip.part100"),
        ],
    )
    def test_every_part_waits_for_the_one_that_is_missing(
        self, landing: Path, whole: bytes, missing: int, reason: str
    ) -> None:
        parts = self.land(landing, whole, 0, 9, 100)
        parts[missing].unlink()
        found = scan_landing(landing)
        assert found.pairs == {}
        assert found.problems == {
            **{part.name: reason for part in parts if part.exists()},
            "TL_x.zip": f"its partner TS_x.zip cannot be used yet: {reason}",
        }

    def test_a_single_part_may_be_the_whole(self, landing: Path, whole: bytes) -> None:
        self.land(landing, whole, 0)
        assert list(scan_landing(landing).pairs) == ["T_x"]

    def test_the_whole_elsewhere_is_a_second_copy(self, landing: Path, whole: bytes, build: Builder) -> None:
        self.land(landing, whole, 0, 9)
        build.zip(landing / "again" / "TS_x.zip", {"a.wav": b"1" * 100})
        assert Counter(scan_landing(landing).problems.values())["lies here 2 times; leave one copy"] == 3

    def test_other_names_wait_for_nothing(self, landing: Path, whole: bytes) -> None:
        (landing / "download.zip.part0").write_bytes(whole)
        assert scan_landing(landing).problems["download.zip.part0"].startswith("not named like an AI Hub archive")


def test_a_pair_waits_for_an_unfinished_copy(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")
    (landing / "TL_x.zip.crdownload").touch()
    (landing / "download.tar").touch()
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == {
        "TL_x.zip.crdownload": "an unfinished TL_x.zip: still being copied; delete it if that was given up",
        "TL_x.zip": "TL_x.zip.crdownload lies beside it, so it is still being copied",
        "TS_x.zip": "its partner TL_x.zip cannot be used yet: "
        "TL_x.zip.crdownload lies beside it, so it is still being copied",
        "download.tar": NOT_WHOLE_TAR,
    }


def test_one_that_changes_while_it_is_read_waits(paths: StoragePaths, landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")

    def grow(path: Path) -> None:
        if path.name == "TS_x.zip":
            path.write_bytes(path.read_bytes() + b"more")

    with watching(grow):
        found = scan_landing(landing, LandingCache(paths))
    assert found.problems == {
        "TS_x.zip": "changed while it was read",
        "TL_x.zip": "its partner TS_x.zip cannot be used yet: changed while it was read",
    }


def test_one_that_goes_while_it_is_looked_at_waits(landing: Path, build: Builder) -> None:
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")

    def remove(path: Path) -> None:
        if path.name == "TS_x.zip":
            path.unlink()

    with watching(remove):
        found = scan_landing(landing)
    assert found.problems["TS_x.zip"] == "cannot be read (No such file or directory)"


RESTS = (
    "x",
    "X",
    "y",
    "광주",
    unicodedata.normalize("NFD", "광주"),
    "a...b",
    "\x01",
    os.fsdecode("광".encode("cp949")),
)
COMPLETE = ((".zip",), (".ZIP",), (".zip.part0", ".zip.part40"), (".zip.part00", ".Zip.Part40"))
SUFFIXES = (".zip", ".zip.part0", ".zip.part40", ".zip.part1", ".tar")
TWINS = (".zip.crdownload", ".zip.part", ".zip.part0.tmp", ".Ab.zip.part", ".tar.part")
NOTHING = (".txt", ".zip.txt", "")
FOLDERS = ("", "a", "a/b", ".hidden", "TS_x.zip.download", "TL_x.zip", "download.tar")
WHOLE = b"PK\3\4" + b"\0" * 70 + b"PK\5\6" + b"\0" * 18
NAMES = st.tuples(
    st.sampled_from(FOLDERS),
    st.sampled_from(("TS_", "TL_", "ts_", "VS_", "VL_", "T", "")),
    st.sampled_from(RESTS),
    st.sampled_from(SUFFIXES + TWINS + NOTHING),
)
CONTENTS = st.sampled_from(["file", "half", "empty", "link", "folder"])
PAIRS = st.tuples(
    st.sampled_from(FOLDERS[:3]),
    st.sampled_from([("TS_", "TL_"), ("ts_", "TL_"), ("VS_", "vl_")]),
    st.sampled_from(RESTS[:3]),
    st.tuples(st.sampled_from(COMPLETE), st.sampled_from(COMPLETE)),
)


@given(pairs=st.lists(PAIRS, min_size=1, max_size=3), files=st.dictionaries(NAMES, CONTENTS, max_size=6))
def test_every_file_is_in_one_pair_or_has_one_reason(
    pairs: list[tuple[str, tuple[str, str], str, tuple[Any, Any]]], files: dict[tuple[str, str, str, str], str]
) -> None:
    wanted = {f"{folder}/{prefix}{rest}{suffix}": content for (folder, prefix, rest, suffix), content in files.items()}
    for folder, prefixes, rest, forms in pairs:
        for prefix, suffixes in zip(prefixes, forms, strict=True):
            wanted |= {f"{folder}/{prefix}{rest}{suffix}": "file" for suffix in suffixes}
    with tempfile.TemporaryDirectory() as name:
        paths = StoragePaths(Path(name))
        landing = paths.landing_calls
        landing.mkdir(parents=True)
        written = [path for name, content in wanted.items() if write(path := landing / name.lstrip("/"), content)]
        matter = {path for path in written if not path.name.endswith((".txt", *RESTS))}
        matter |= {path for path in (landing / folder for folder in FOLDERS[4:]) if path.is_dir()}
        found = scan_landing(landing, LandingCache(paths))
        used = [part for pair in found.pairs.values() for part in (*pair.audio.parts, *pair.labels.parts)]
        assert len(set(used)) == len(used)
        refused = Counter(printable(path.relative_to(landing).as_posix()) for path in matter - set(used))
        assert Counter(shown.rsplit(" (", 1)[0] for shown in found.problems) == refused
        assert all(found.problems.values())
        assert len({archive.casefold() for archive in found.pairs}) == len(found.pairs)
        again = scan_landing(landing, LandingCache(paths))
        assert (again.pairs, again.problems) == (found.pairs, found.problems)


def write(path: Path, content: str) -> bool:
    """Writes a whole ZIP of 96 bytes, the bytes of one of its parts, or something else; False if the name is taken."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    if content == "link":
        path.symlink_to("gone")
    elif content == "folder":
        path.mkdir()
    else:
        number = path.name.lower().rpartition(".zip.part")[2]
        start, end = {"0": (0, 40), "00": (0, 40), "40": (40, 96)}.get(number, (0, 96))
        path.write_bytes({"file": WHOLE[start:end], "half": WHOLE[:50], "empty": b""}[content])
    return True
