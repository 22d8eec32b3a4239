import os
import stat
import struct
import tempfile
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.archives import ArchivePair
from urgency_dagster.calls.extraction import ExtractionLimits, extract_pair
from urgency_dagster.calls.parts import LandedZip
from urgency_dagster.errors import ArchiveError, UrgencyError
from urgency_dagster.storage import StoragePaths
from urgency_dagster.tables import MEMBERS, RejectReason

ARCHIVE = "T_x"
LIMITS = ExtractionLimits()
NAME = "a_1.wav"
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


class Unpacking:
    """Unpacks an audio ZIP next to an empty label ZIP."""

    def __init__(self, paths: StoragePaths, build) -> None:
        self.files, self._landing, self._build = paths.archive(ARCHIVE), paths.landing_calls, build
        self._landing.mkdir(parents=True)

    def __call__(self, audio: bytes, limits: ExtractionLimits = LIMITS) -> dict[str, dict]:
        """The rows of the members by name, after a ZIP with these bytes was unpacked."""
        self.counts = extract_pair(self.pair(audio, self._build.zipped({})), self.files, limits)
        return {row["member"]: row for row in self.rows()}

    def pair(self, audio: bytes, labels: bytes) -> ArchivePair:
        files = self._landing / "TS_x.zip", self._landing / "TL_x.zip"
        for file, content in zip(files, (audio, labels), strict=True):
            file.write_bytes(content)
        return ArchivePair(ARCHIVE, *map(LandedZip.whole, files))

    def rows(self) -> list[dict]:
        return pq.read_table(self.files.members).to_pylist()

    def written(self) -> dict[str, bytes]:
        """The files below `Wave/`."""
        found = (path for path in self.files.audio.rglob("*") if path.is_file())
        return {path.relative_to(self.files.audio).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def unpack(paths, build) -> Unpacking:
    return Unpacking(paths, build)


def patched(archive: bytes, offset: int, value: bytes, header: bytes = CENTRAL) -> bytes:
    """The first header of a kind with some bytes replaced."""
    start = archive.index(header) + offset
    return archive[:start] + value + archive[start + len(value) :]


class TestWhatIsKept:
    def test_both_sides_lie_below_the_archive_with_their_content(self, paths, build):
        audio, labels = {"a_1.wav": b"audio", "deep/er/b_1.wav": b"more"}, {"a_1.json": b"{}"}
        pair = build.pair(paths.landing_calls, ARCHIVE, audio, labels)
        counts = extract_pair(pair, paths.archive(ARCHIVE), LIMITS)
        files = paths.archive(ARCHIVE)
        assert {name: (files.audio / name).read_bytes() for name in audio} == audio
        assert (files.labels / "a_1.json").read_bytes() == b"{}"
        assert counts == {"audio_files": 2, "label_files": 1, "rejected_members": 0, "bytes": 11}

    def test_each_member_is_accounted_for(self, unpack, build):
        unpack(build.zipped({NAME: b"12345"}))
        table = pq.read_table(unpack.files.members)
        assert table.schema.equals(MEMBERS)
        (row,) = table.to_pylist()
        assert row == {
            "archive": ARCHIVE,
            "kind": "audio",
            "member": NAME,
            "path": NAME,
            "size_bytes": 5,
            "crc32": 0xCBF53A1C,
            "reason": None,
            "detail": None,
        }

    def test_a_leading_slash_is_stripped(self, unpack, build):
        rows = unpack(build.zipped({"/a_1.wav": b"1", "//b_1.wav": b"2"}))
        assert unpack.written() == {"a_1.wav": b"1", "b_1.wav": b"2"}
        assert rows["/a_1.wav"]["path"] == "a_1.wav"

    @pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
    def test_a_name_without_the_utf8_flag_is_utf8_or_cp949(self, unpack, build, encoding):
        unpack(build.renamed("광주_구급.wav".encode(encoding)))
        assert unpack.written() == {"광주_구급.wav": b"content"}

    def test_a_decomposed_name_is_composed(self, unpack, build):
        unpack(build.zipped({unicodedata.normalize("NFD", "광주_1.wav"): b"1"}))
        assert list(unpack.written()) == [unicodedata.normalize("NFC", "광주_1.wav")]

    def test_backslashes_of_windows_are_folders(self, unpack, build):
        unpack(build.renamed(b"Wave\\a_1.wav"))
        assert unpack.written() == {"Wave/a_1.wav": b"content"}

    def test_what_is_no_data_is_passed_over_in_silence(self, unpack, build):
        litter = [
            "Wave/",
            "__MACOSX/a_1.wav",
            "x/__MACOSX/._a_1.wav",
            "._a_1.wav",
            "x/._b.wav",
            ".DS_Store",
            "x/.DS_Store",
        ]
        rows = unpack(build.zipped({**dict.fromkeys(litter, b""), NAME: b"1"}))
        assert list(rows) == [NAME]
        assert unpack.written() == {NAME: b"1"}

    def test_the_same_archive_gives_the_same_account(self, unpack, build):
        archive = build.zipped({"b_1.wav": b"1", "a_1.wav": b"2", "x.txt": b"3"})
        unpack(archive)
        first = unpack.files.members.read_bytes()
        unpack(archive)
        assert unpack.files.members.read_bytes() == first

    def test_an_empty_archive_is_no_error(self, unpack, build):
        assert unpack(build.zipped({})) == {}
        assert unpack.files.audio.is_dir()


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "../a_1.wav",
            "x/../../a_1.wav",
            "/../a_1.wav",
            "C:/a_1.wav",
            "c:a_1.wav",
            "x/./a_1.wav",
            "x//a_1.wav",
            "a\x1b[2J.wav",
            "a\nb.wav",
            "\u202egpj.wav",
            "n" * 252 + ".wav",
            "가" * 85 + ".wav",
            "d/" * 8 + "a.wav",
        ],
    )
    def test_an_unsafe_name_is_rejected(self, unpack, build, name):
        rows = unpack(build.zipped({name: b"1", NAME: b"2"}))
        assert unpack.written() == {NAME: b"2"}
        assert Counter(row["reason"] for row in rows.values()) == {None: 1, RejectReason.UNSAFE_NAME: 1}
        assert all(shown.isprintable() for shown in rows)

    @pytest.mark.parametrize("name", [b"..\\a_1.wav", b"C:\\a_1.wav", b"ok.wav\0/../../a.wav", b"d/\0a.wav"])
    def test_an_unsafe_name_of_raw_bytes_is_rejected(self, unpack, build, name):
        (row,) = unpack(build.renamed(name)).values()
        assert row["reason"] == RejectReason.UNSAFE_NAME
        assert unpack.written() == {}

    def test_bytes_in_no_code_page_are_a_name_all_the_same(self, unpack, build):
        """They decode as CP437, which has a letter for each byte."""
        unpack(build.renamed(b"\x80\x80.wav"))
        assert list(unpack.written().values()) == [b"content"]

    def test_a_member_without_a_name_is_passed_over(self, unpack, build):
        assert unpack(build.zipped({"": b"1", NAME: b"2"})).keys() == {NAME}

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
    def test_a_link_or_a_device_is_rejected(self, unpack, build, kind):
        info = zipfile.ZipInfo("link_1.wav")
        info.external_attr = (kind | 0o777) << 16
        rows = unpack(build.zipped([(info, b"/etc/passwd")]))
        assert rows["link_1.wav"]["reason"] == RejectReason.UNSAFE_NAME
        assert unpack.written() == {}

    @pytest.mark.parametrize(
        "names",
        [
            ["a_1.wav", "a_1.wav"],
            ["a_1.wav", "A_1.WAV"],
            ["/a_1.wav", "a_1.wav"],
            ["x/a_1.wav", "X/a_1.wav"],
            [unicodedata.normalize("NFC", "가_1.wav"), unicodedata.normalize("NFD", "가_1.wav")],
        ],
    )
    def test_names_that_collide_lose_all_copies(self, unpack, build, names):
        unpack(build.zipped([*((name, b"1") for name in names), ("b_1.wav", b"2")]))
        assert unpack.written() == {"b_1.wav": b"2"}
        assert Counter(row["reason"] for row in unpack.rows()) == {RejectReason.DUPLICATE_NAME: 2, None: 1}

    @pytest.mark.parametrize("names", [["x.wav", "x.wav/b_1.wav"], ["x.wav/b_1.wav", "x.wav"]])
    def test_a_file_named_like_a_folder_is_rejected(self, unpack, build, names):
        rows = unpack(build.zipped(dict.fromkeys(names, b"1")))
        assert unpack.written() == {"x.wav/b_1.wav": b"1"}
        assert rows["x.wav"]["reason"] == RejectReason.DUPLICATE_NAME

    @pytest.mark.parametrize("name", ["a_1.json", "a_1.mp3", "a_1", "a_1.wav ", "wav"])
    def test_another_type_is_rejected(self, unpack, build, name):
        assert unpack(build.zipped({name: b"1"}))[name]["reason"] == RejectReason.UNKNOWN_TYPE
        assert unpack.written() == {}

    def test_the_ending_may_have_capitals(self, unpack, build):
        unpack(build.zipped({"a_1.WAV": b"1"}))
        assert list(unpack.written()) == ["a_1.WAV"]


class TestDamage:
    """One member is damaged, the other is kept."""

    def archive(self, build, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        return build.zipped({NAME: b"content " * 99, "b_1.wav": b"2"}, method)

    def check(self, unpack: Unpacking, archive: bytes, reason: RejectReason) -> None:
        rows = unpack(archive)
        assert unpack.written() == {"b_1.wav": b"2"}
        assert rows[NAME]["reason"] == reason
        assert rows[NAME]["path"] is None

    def test_the_undamaged_archive_is_kept(self, unpack, build):
        unpack(self.archive(build))
        assert unpack.written()[NAME] == b"content " * 99

    def test_encrypted(self, unpack, build):
        encrypted = patched(patched(self.archive(build), 8, b"\1\0"), 6, b"\1\0", LOCAL)
        self.check(unpack, encrypted, RejectReason.ENCRYPTED)

    def test_another_checksum(self, unpack, build):
        self.check(unpack, patched(self.archive(build), 16, b"\0\0\0\0"), RejectReason.CORRUPT)

    def test_changed_content(self, unpack, build):
        archive = self.archive(build, zipfile.ZIP_STORED)
        self.check(unpack, archive.replace(b"content ", b"Content ", 1), RejectReason.CORRUPT)

    def test_a_broken_stream(self, unpack, build):
        archive = self.archive(build)
        self.check(unpack, patched(archive, 30 + len(NAME), b"\xff\xff\xff\xff", LOCAL), RejectReason.CORRUPT)

    def test_a_truncated_stream(self, unpack, build):
        self.check(unpack, patched(self.archive(build), 20, struct.pack("<L", 9)), RejectReason.CORRUPT)

    @pytest.mark.parametrize("size", [10, 100_000])
    def test_a_size_that_is_a_lie(self, unpack, build, size):
        self.check(unpack, patched(self.archive(build), 24, struct.pack("<L", size)), RejectReason.CORRUPT)

    def test_a_size_beyond_all_numbers(self, unpack, build):
        info = zipfile.ZipInfo(NAME)
        info.extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)
        archive = build.zipped([(info, b"1" * 100), ("b_1.wav", b"2")])
        self.check(unpack, patched(archive, 24, b"\xff" * 4), RejectReason.CORRUPT)
        assert unpack.counts["bytes"] == 1

    @pytest.mark.parametrize("offset", [b"\xff\xff\xff\x7f", b"\5\0\0\0"])
    def test_a_header_that_is_elsewhere(self, unpack, build, offset):
        self.check(unpack, patched(self.archive(build), 42, offset), RejectReason.CORRUPT)

    def test_a_header_before_the_archive(self, unpack, build):
        """The directory is said to begin later than it does, so every offset moves before the file."""
        archive = build.zipped({NAME: b"1"})
        end = archive.index(b"PK\x05\x06")
        start = struct.unpack("<L", archive[end + 16 : end + 20])[0]
        rows = unpack(patched(archive, 16, struct.pack("<L", start + 50), b"PK\x05\x06"))
        assert rows[NAME]["reason"] == RejectReason.CORRUPT

    def test_a_name_that_is_not_the_one_in_the_directory(self, unpack, build):
        self.check(unpack, patched(self.archive(build), 30, b"z", LOCAL), RejectReason.CORRUPT)

    def test_a_name_flagged_utf8_that_is_not(self, unpack, build):
        archive = patched(self.archive(build), 6, b"\0\x08", LOCAL)
        self.check(unpack, patched(archive, 30, b"\xff", LOCAL), RejectReason.CORRUPT)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_methods_that_cannot_be_unpacked_piecewise(self, unpack, build, method):
        unpack(build.zipped({NAME: b"0" * 1000}, method))
        assert [row["reason"] for row in unpack.rows()] == [RejectReason.CORRUPT]

    def test_an_unknown_method(self, unpack, build):
        self.check(unpack, patched(self.archive(build), 10, b"\x63\0"), RejectReason.CORRUPT)


class TestLimits:
    def test_a_member_of_just_the_size_is_kept(self, unpack, build):
        limits = ExtractionLimits(member_bytes=1000)
        archive = build.zipped({NAME: b"1" * 1000, "b_1.wav": b"2" * 1001}, zipfile.ZIP_STORED)
        rows = unpack(archive, limits)
        assert list(unpack.written()) == [NAME]
        assert rows["b_1.wav"]["reason"] == RejectReason.TOO_LARGE

    def test_a_bomb_stops_at_the_ratio(self, unpack, build):
        rows = unpack(build.zipped({NAME: bytes(5 << 20)}), ExtractionLimits(ratio=100))
        assert rows[NAME]["reason"] == RejectReason.TOO_LARGE
        assert unpack.written() == {}

    def test_small_members_may_be_packed_as_well_as_they_can(self, unpack, build):
        unpack(build.zipped({NAME: bytes(1 << 20)}), ExtractionLimits(ratio=2))
        assert list(unpack.written()) == [NAME]

    def test_too_many_bytes_refuse_the_archive(self, unpack, build):
        archive = build.zipped({"a_1.wav": b"1" * 600, "b_1.wav": b"1" * 600})
        unpack(archive, ExtractionLimits(total_bytes=1200))
        with pytest.raises(ArchiveError, match=r"more than 1199 bytes.*total_bytes"):
            unpack(archive, ExtractionLimits(total_bytes=1199))

    def test_too_many_members_refuse_the_archive(self, unpack, build):
        archive = build.zipped({"a_1.wav": b"1", "b_1.wav": b"1", "._b": b""})
        unpack(archive, ExtractionLimits(members=2))
        with pytest.raises(ArchiveError, match="2 members"):
            unpack(archive, ExtractionLimits(members=1))


class TestInterruption:
    def left(self, unpack: Unpacking) -> set[str]:
        return {path.name for path in unpack.files.folder.iterdir()}

    @pytest.mark.parametrize("broken", ["directory", "version", "name"])
    def test_an_archive_that_cannot_be_read_leaves_no_account(self, unpack, build, broken):
        unpack(build.zipped({NAME: b"old"}))
        whole = build.zipped({"a_1.json": b"{}"})
        damaged = {
            "directory": lambda: patched(whole, 0, b"XXXX"),
            "version": lambda: patched(whole, 6, b"\xff\0"),
            "name": lambda: patched(patched(whole, 8, b"\0\x08"), 46, b"\xff"),
        }[broken]()
        with pytest.raises(ArchiveError, match=r"TL_x\.zip cannot be read as a ZIP"):
            extract_pair(unpack.pair(build.zipped({NAME: b"new"}), damaged), unpack.files, LIMITS)
        assert self.left(unpack) == {"Wave", "Label"}, "neither the account nor a temporary folder"
        assert unpack.written() == {NAME: b"new"}, "a folder is replaced whole"

    def test_a_folder_half_way_through_is_not_there(self, unpack, build):
        unpack(build.zipped({NAME: b"old"}))
        with pytest.raises(ArchiveError):
            unpack(build.zipped({NAME: b"1" * 20, "b_1.wav": b"1" * 20}), ExtractionLimits(total_bytes=30))
        assert unpack.written() == {NAME: b"old"}
        assert not unpack.files.members.exists()

    def test_another_archive_leaves_nothing_of_the_former(self, unpack, build):
        unpack(build.zipped({NAME: b"1", "old_1.wav": b"2"}))
        unpack(build.zipped({NAME: b"3"}))
        assert unpack.written() == {NAME: b"3"}

    def test_the_error_survives_leaving_a_process(self, unpack, build):
        with pytest.raises(ArchiveError) as caught:
            unpack(b"no zip")
        assert "copy it again" in str(caught.value)


PIECES = [
    "..",
    ".",
    "/",
    "\\",
    "C:",
    "a",
    "가",
    unicodedata.normalize("NFD", "가"),
    "A",
    ".wav",
    ".wav",
    "._",
    "~",
    "\0",
]
PIECES += ["__MACOSX/", ".DS_Store", " ", "\n", "\u202e", "\u3000", "CON", "😀" * 70, "x" * 200, ":", "*", "%2e%2e%2f"]
names_strategy = st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), max_size=6)


def tree(folder: Path) -> set[str]:
    return {os.path.relpath(Path(parent, name), folder) for parent, _, files in os.walk(folder) for name in files}


@given(names=names_strategy)
@settings(max_examples=150)
def test_no_name_leaves_the_folder_or_is_forgotten(build, names):
    with tempfile.TemporaryDirectory() as folder:
        paths = StoragePaths(Path(folder, "storage"))
        pair = build.pair(paths.landing_calls, ARCHIVE, [(name, b"1") for name in names], {})
        before = tree(Path(folder))
        extract_pair(pair, paths.archive(ARCHIVE), LIMITS)
        rows = pq.read_table(paths.archive(ARCHIVE).members).to_pylist()
        wave = Path("storage/calls", ARCHIVE, "Wave")
        kept = {str(wave / row["path"]) for row in rows if row["reason"] is None}
        assert tree(Path(folder)) - before == kept | {f"storage/calls/{ARCHIVE}/members.parquet"}
        assert len(kept) == sum(row["reason"] is None for row in rows)


@given(data=st.data())
@settings(max_examples=150)
def test_flipped_bytes_never_fail_in_another_way(build, data):
    archive = bytearray(build.zipped({NAME: b"content " * 9, "/가_1.wav": b"2"}))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    with tempfile.TemporaryDirectory() as folder:
        paths = StoragePaths(Path(folder, "storage"))
        paths.landing_calls.mkdir(parents=True)
        labels = build.zip(paths.landing_calls / "TL_x.zip", {})
        audio = paths.landing_calls / "TS_x.zip"
        audio.write_bytes(archive)
        pair = ArchivePair(ARCHIVE, LandedZip.whole(audio), LandedZip.whole(labels))
        try:
            extract_pair(pair, paths.archive(ARCHIVE), LIMITS)
        except UrgencyError:
            assert not paths.archive(ARCHIVE).members.exists()
        assert {path.name for path in Path(folder).iterdir()} == {"storage"}
