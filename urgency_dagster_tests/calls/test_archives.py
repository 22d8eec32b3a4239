import os
import unicodedata
from pathlib import Path

import pytest

from urgency_dagster.calls.archives import ContentHashes, scan_landing
from urgency_dagster.storage import read_json, write_json

NFC, NFD = (unicodedata.normalize(form, "TS_광주_구급.zip") for form in ("NFC", "NFD"))


@pytest.fixture
def landing(paths) -> Path:
    paths.landing_calls.mkdir(parents=True)
    return paths.landing_calls


def touch_zip(build, *targets: Path) -> None:
    for target in targets:
        build.zip(target, {"a.wav": b"1"})


def test_a_pair_is_found_at_any_depth(landing, build):
    audio = landing / "088.119/3.개방데이터/1.데이터/Training/1.원천데이터/TS_광주_구급.zip"
    labels = landing / "TL_광주_구급.zip"
    touch_zip(build, audio, labels)
    found = scan_landing(landing)
    assert found.problems == {}
    assert list(found.pairs) == ["T_광주_구급"]
    assert (found.pairs["T_광주_구급"].audio, found.pairs["T_광주_구급"].labels) == (audio, labels)


def test_training_and_validation_are_pairs_of_their_own(landing, build):
    touch_zip(build, *(landing / f"{name}_서울_화재.zip" for name in ("TS", "TL", "VS", "VL")))
    assert sorted(scan_landing(landing).pairs) == ["T_서울_화재", "V_서울_화재"]


def test_decomposed_and_composed_hangul_are_one_name(landing, build):
    touch_zip(build, landing / NFD, landing / NFC.replace("TS", "TL"))
    pair = scan_landing(landing).pairs["T_광주_구급"]
    assert pair.audio.parts[0].name == NFD
    assert pair.audio.parts[0].is_file()


def test_small_letters_are_the_same_name(landing, build):
    touch_zip(build, landing / "ts_x.ZIP", landing / "Tl_x.zip")
    assert list(scan_landing(landing).pairs) == ["T_x"]


@pytest.mark.parametrize(("there", "missing"), [("TS_x.zip", "TL_x.zip"), ("VL_x.zip", "VS_x.zip")])
def test_half_a_pair_waits_for_the_other(landing, build, there, missing):
    touch_zip(build, landing / there)
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == {there: f"its partner {missing} has not landed"}


def test_the_same_name_in_two_folders_is_no_pair(landing, build):
    touch_zip(build, landing / "a/TS_x.zip", landing / "b" / "TS_x.zip", landing / "TL_x.zip")
    found = scan_landing(landing)
    assert found.pairs == {}
    assert found.problems == dict.fromkeys(("a/TS_x.zip", "b/TS_x.zip"), "lies here 2 times; leave one copy")


@pytest.mark.parametrize("content", [b"", b"no zip at all", "half"])
def test_a_file_that_is_no_whole_zip_waits(landing, build, content):
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip")
    whole = build.zipped({"a.wav": b"1" * 100})
    (landing / "TS_x.zip").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    found = scan_landing(landing)
    assert found.pairs == {}
    assert list(found.problems) == ["TS_x.zip"]


def test_a_link_to_nowhere_is_no_zip(landing, build):
    touch_zip(build, landing / "TL_x.zip")
    (landing / "TS_x.zip").symlink_to(landing / "gone.zip")
    assert list(scan_landing(landing).problems) == ["TS_x.zip"]


@pytest.mark.parametrize(
    "name", ["download.zip", "XS_a.zip", "TS-a.zip", "TS_.zip", "TX_a.zip", "TS_a...b.zip", "TS_a\nb.zip"]
)
def test_other_names_are_told_apart(landing, build, name):
    touch_zip(build, landing / name, landing / name.replace("TS", "TL"))
    found = scan_landing(landing)
    assert found.pairs == {}
    assert all(reason.startswith("not named like an AI Hub archive") for reason in found.problems.values())
    assert all(shown.isprintable() for shown in found.problems)


def test_what_is_no_zip_is_not_looked_at(landing, build):
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip", landing / "._TS_x.zip", landing / "TS_y.zip.part")
    (landing / "readme.txt").write_text("hello")
    found = scan_landing(landing)
    assert list(found.pairs) == ["T_x"]
    assert found.problems == {}


def test_no_landing_folder_is_an_empty_one(tmp_path):
    found = scan_landing(tmp_path / "nowhere")
    assert (found.pairs, found.problems) == ({}, {})


def test_one_bad_file_does_not_cost_the_other_pairs(landing, build):
    touch_zip(build, landing / "TS_x.zip", landing / "TL_x.zip", landing / "TS_y.zip", landing / "odd.zip")
    found = scan_landing(landing)
    assert list(found.pairs) == ["T_x"]
    assert sorted(found.problems) == ["TS_y.zip", "odd.zip"]


def test_a_name_in_an_old_code_page_is_reported_in_printable_form(landing, build):
    for name in ("TS_광주.zip", "TL_광주.zip"):
        touch_zip(build, Path(os.fsdecode(os.fsencode(landing) + b"/" + name.encode("cp949"))))
    found = scan_landing(landing)
    assert found.pairs == {}
    assert len(found.problems) == 2
    assert "".join(found.problems).encode("utf-8")


def test_a_folder_in_an_old_code_page_does_not_matter(paths, landing, build):
    folder = Path(os.fsdecode(os.fsencode(landing) + b"/" + "원천데이터".encode("cp949")))
    touch_zip(build, folder / "TS_x.zip", folder / "TL_x.zip")
    pair = scan_landing(landing).pairs["T_x"]
    assert len(ContentHashes(paths).of_pair(pair)) == 64


class TestContentHashes:
    def test_equal_bytes_are_equal_wherever_and_whenever(self, paths, landing, build):
        first = build.pair(landing / "a", "T_x", {"a.wav": b"1"}, {"a.json": b"2"})
        again = build.pair(landing / "b", "T_x", {"a.wav": b"1"}, {"a.json": b"2"})
        os.utime(again.audio.parts[0], (1, 1))
        assert ContentHashes(paths).of_pair(first) == ContentHashes(paths).of_pair(again)

    def test_other_bytes_on_either_side_differ(self, paths, landing, build):
        contents = [(b"1", b"2"), (b"3", b"2"), (b"1", b"3"), (b"2", b"1")]
        pairs = [
            build.pair(landing / str(n), "T_x", {"a.wav": audio}, {"a.wav": labels})
            for n, (audio, labels) in enumerate(contents)
        ]
        assert len({ContentHashes(paths).of_pair(pair) for pair in pairs}) == len(pairs)

    def test_an_untouched_file_is_not_read_again(self, paths, landing, build):
        file = build.zip(landing / "TS_x.zip", {"a.wav": b"1"})
        ContentHashes(paths).of_file(file)
        (key,) = read_json(paths.landing_hashes)
        write_json(paths.landing_hashes, {key: "from the cache"})
        assert ContentHashes(paths).of_file(file) == "from the cache"

    @pytest.mark.parametrize("change", ["time", "size", "inode"])
    def test_a_touched_file_is_read_again(self, paths, landing, build, change):
        file = build.zip(landing / "TS_x.zip", {"a.wav": b"1"})
        before = file.stat()
        ContentHashes(paths).of_file(file)
        (key,) = read_json(paths.landing_hashes)
        write_json(paths.landing_hashes, {key: "from the cache"})
        if change == "size":
            file.write_bytes(file.read_bytes() + b"more")
        if change == "inode":
            copy = file.with_name("copy")
            copy.write_bytes(file.read_bytes())
            copy.replace(file)
        times = (before.st_atime_ns, before.st_mtime_ns + (change == "time"))
        os.utime(file, ns=times)
        assert ContentHashes(paths).of_file(file) != "from the cache"
        assert len(read_json(paths.landing_hashes)) == 1, "the old entry goes"

    def test_two_processes_keep_each_others_hashes(self, paths, landing, build):
        files = [build.zip(landing / name, {"a.wav": name.encode()}) for name in ("TS_x.zip", "TS_y.zip")]
        first, second = ContentHashes(paths), ContentHashes(paths)
        first.of_file(files[0])
        second.of_file(files[1])
        assert len(read_json(paths.landing_hashes)) == 2
