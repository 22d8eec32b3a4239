import io
import stat
import struct
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.landing.names import decoded
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.members import (
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    MAX_SHOWN_CHARACTERS,
    Member,
    ZipPlan,
    is_litter,
    plan_extraction,
    safe_name,
)
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster_tests.conftest import Builder

UNSAFE, DUPLICATE, UNKNOWN = RejectReason.UNSAFE_NAME, RejectReason.DUPLICATE_NAME, RejectReason.UNKNOWN_TYPE
GA = "가"
NFC, NFD = unicodedata.normalize("NFC", GA), unicodedata.normalize("NFD", GA)


class Planned:
    """What is planned for the members of a ZIP."""

    def __init__(self, folder: Path, build: Builder) -> None:
        self._file, self._build = folder / "TS_x.zip", build

    def __call__(self, *names: str | zipfile.ZipInfo, raw: bytes | None = None) -> list[Member]:
        archive = self._build.renamed(raw) if raw is not None else self._build.zipped([(name, b"1") for name in names])
        self._file.write_bytes(archive)
        return list(plan_extraction(LandedZip.whole(self._file), ".wav", 1000).members())

    def reasons(self, *names: str | zipfile.ZipInfo) -> list[str | None]:
        return [member.reason for member in self(*names)]


@pytest.fixture
def planned(tmp_path: Path, build: Builder) -> Planned:
    return Planned(tmp_path, build)


class TestNames:
    def test_a_plain_name_is_kept(self, planned: Planned) -> None:
        (member,) = planned("a_1.wav")
        assert (member.path, member.shown, member.reason, member.detail) == ("a_1.wav", "a_1.wav", None, None)

    def test_folders_are_kept(self, planned: Planned) -> None:
        assert [member.path for member in planned("x/y/a_1.wav", "x/b_1.wav")] == ["x/y/a_1.wav", "x/b_1.wav"]

    @pytest.mark.parametrize("name", ["/a_1.wav", "//a_1.wav", "\\a_1.wav", "\\\\a_1.wav"])
    def test_a_leading_slash_is_stripped(self, planned: Planned, name: str) -> None:
        (member,) = planned(raw=name.encode())
        assert (member.path, member.reason) == ("a_1.wav", None)

    @pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
    def test_a_name_without_the_utf8_flag_is_utf8_or_cp949(self, planned: Planned, encoding: str) -> None:
        (member,) = planned(raw="광주_구급.wav".encode(encoding))
        assert member.path == "광주_구급.wav"

    def test_utf8_is_tried_before_cp949(self) -> None:
        assert b"\xec\x98\x81".decode("cp949", "replace") != "영"
        assert decoded(b"\xec\x98\x81") == "영"

    def test_bytes_in_no_code_page_are_a_name_all_the_same(self, planned: Planned) -> None:
        (member,) = planned(raw=b"\x80\x80.wav")
        assert (member.path, member.reason) == ("ÇÇ.wav", None)

    def test_a_decomposed_name_is_composed(self, planned: Planned) -> None:
        assert [member.path for member in planned(f"{NFD}_1.wav")] == [f"{NFC}_1.wav"]

    def test_a_decomposed_name_without_the_flag_is_composed(self, planned: Planned) -> None:
        assert [member.path for member in planned(raw=f"{NFD}_1.wav".encode())] == [f"{NFC}_1.wav"]

    @pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
    def test_backslashes_of_windows_are_folders(self, planned: Planned, encoding: str) -> None:
        (member,) = planned(raw="구급\\광주_1.wav".encode(encoding))
        assert member.path == "구급/광주_1.wav"

    def test_no_letter_is_torn_by_a_backslash_within_it(self) -> None:
        """Each letter of CP949 stands for itself, none for a folder and the rest of another letter."""
        letters = [bytes([high, low]) for high in range(0x81, 0xFF) for low in range(0x41, 0xFF)]
        known = {letter: letter.decode("cp949", "ignore") for letter in letters}
        hangul = {letter: text for letter, text in known.items() if "가" <= text <= "힣" and len(text) == 1}
        assert len(hangul) == 11_172
        assert {letter: decoded(b"\xb0\xa1" + letter) for letter in hangul} == {
            letter: f"가{text}" for letter, text in hangul.items()
        }

    def test_the_ending_may_have_capitals(self, planned: Planned) -> None:
        assert [member.path for member in planned("a_1.WAV")] == ["a_1.WAV"]

    @pytest.mark.parametrize(
        "name", ["a_1.json", "a_1.mp3", "a_1", "a_1.wav ", "a_1.wav.", "wav", "a_1.zip", "a.wav.zip", "x.wav.tar.gz"]
    )
    def test_another_type_is_rejected(self, planned: Planned, name: str) -> None:
        assert planned.reasons(name) == [UNKNOWN]

    def test_each_suffix_has_its_own_zip(self, tmp_path: Path, build: Builder) -> None:
        file = build.zip(tmp_path / "TL_x.zip", {"a.wav": b"", "a.json": b"", "a.JSON": b"", "b.json": b""})
        reasons = [member.reason for member in plan_extraction(LandedZip.whole(file), ".json", 9).members()]
        assert reasons == [UNKNOWN, DUPLICATE, DUPLICATE, None]


class TestUnsafeNames:
    @pytest.mark.parametrize(
        "name",
        [
            "../a.wav",
            "x/../a.wav",
            "x/../../a.wav",
            "/../a.wav",
            "..",
            "../",
            "x/..",
            "./a.wav",
            "x/./a.wav",
            "x//a.wav",
            "C:/a.wav",
            "c:a.wav",
            "x/a.wav:stream.wav",
            "a\x1b[2J.wav",
            "a\nb.wav",
            "a\x7f.wav",
            "\u202egpj.wav",
            "x\u2028/a.wav",
        ],
    )
    def test_it_leaves_the_folder_or_cannot_be_shown(self, planned: Planned, name: str) -> None:
        members = planned(name, "b.wav")
        assert [(member.reason, member.path) for member in members] == [(UNSAFE, None), (None, "b.wav")]
        assert members[0].shown.isprintable()

    @pytest.mark.parametrize(
        "name",
        [
            b"..\\a.wav",
            b"x\\..\\..\\a.wav",
            b"C:\\a.wav",
            b"\\\\?\\C:\\a.wav",
            b"a.wav\0/../../b.wav",
            b"\0.wav",
            b"d/\0.wav",
        ],
    )
    def test_raw_bytes(self, planned: Planned, name: bytes) -> None:
        assert [member.reason for member in planned(raw=name)] == [UNSAFE]

    @pytest.mark.parametrize(
        "name",
        [
            "CON",
            "con.wav",
            "NUL.wav",
            "aux.json.wav",
            "x/prn.wav",
            "x/COM1.wav",
            "LPT9/a.wav",
            "com³.wav",
            "nul .wav",
            "CONIN$.wav",
            "conout$/a.wav",
        ],
    )
    def test_devices_of_windows(self, planned: Planned, name: str) -> None:
        assert planned.reasons(name) == [UNSAFE]

    @pytest.mark.parametrize("name", ["console.wav", "COM0.wav", "COM10.wav", "COM.wav", "a.CON.wav", "nul_1.wav"])
    def test_names_that_only_look_like_devices(self, planned: Planned, name: str) -> None:
        assert planned.reasons(name) == [None]

    @pytest.mark.parametrize(
        "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR]
    )
    def test_what_is_no_file(self, planned: Planned, kind: int) -> None:
        info = zipfile.ZipInfo("link_1.wav")
        info.external_attr = (kind | 0o777) << 16
        assert planned.reasons(info) == [UNSAFE]

    @pytest.mark.parametrize("mode", [0, 0o644, stat.S_IFREG | 0o777])
    def test_files_with_any_permissions(self, mode: int) -> None:
        assert safe_name("a.wav", mode, frozenset(), ".wav") == "a.wav"

    def test_a_folder_with_content_is_no_folder(self, planned: Planned) -> None:
        assert planned.reasons("x/", "") == [UNSAFE, UNSAFE]

    @pytest.mark.parametrize(
        ("longest", "too_long"),
        [
            ("n" * (MAX_NAME_BYTES - 4) + ".wav", "n" * (MAX_NAME_BYTES - 3) + ".wav"),
            (GA * 83 + "xx.wav", GA * 83 + "xxx.wav"),
            ("d" * MAX_NAME_BYTES + "/a.wav", "d" * (MAX_NAME_BYTES + 1) + "/a.wav"),
            ("d/" * (MAX_DEPTH - 1) + "a.wav", "d/" * MAX_DEPTH + "a.wav"),
            (("d" * 199 + "/") * 5 + "n" * 20 + ".wav", ("d" * 199 + "/") * 5 + "n" * 21 + ".wav"),
        ],
    )
    def test_too_long(self, planned: Planned, longest: str, too_long: str) -> None:
        assert planned.reasons(longest) == [None]
        assert planned.reasons(too_long) == [UNSAFE]
        assert len(longest.encode()) <= MAX_PATH_BYTES

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("d/" * 8 + "a.wav", "8 folders above the file; at most 7"),
            ("d/" * 300 + "a.wav", "300 folders above the file; at most 7"),
            ("n" * 252 + ".wav", "a name of 256 bytes; at most 255"),
            (("d" * 199 + "/") * 5 + "n" * 21 + ".wav", "a name of 1025 bytes; at most 1024"),
        ],
    )
    def test_the_limit_is_named(self, planned: Planned, name: str, said: str) -> None:
        (member,) = planned(name)
        assert member.detail == said

    def test_what_is_shown_of_a_name_is_short(self, planned: Planned) -> None:
        (member,) = planned("n" * 65_000 + ".wav")
        assert member.shown == "n" * MAX_SHOWN_CHARACTERS
        (member,) = planned("/" * 65_000)
        assert member.reason == UNSAFE


class TestCollisions:
    @pytest.mark.parametrize(
        "names",
        [
            ["a.wav", "a.wav"],
            ["a.wav", "A.WAV"],
            ["/a.wav", "a.wav"],
            ["x/a.wav", "X/a.wav"],
            ["x\\a.wav", "x/a.wav"],
            [f"{NFC}.wav", f"{NFD}.wav"],
            ["straße.wav", "STRASSE.wav"],
            ["\u0345.wav", "\u03b9.wav"],
            ["a.wav", "a.wav", "A.wav"],
        ],
    )
    def test_all_copies_are_rejected(self, planned: Planned, names: list[str]) -> None:
        assert planned.reasons(*names, "b.wav") == [DUPLICATE] * len(names) + [None]

    @pytest.mark.parametrize("names", [["x.wav", "x.wav/b.wav"], ["X.wav", "x.wav/b.wav"], ["x.wav", "/x.wav/y/b.wav"]])
    def test_a_file_named_like_a_folder_is_rejected(self, planned: Planned, names: list[str]) -> None:
        assert planned.reasons(*names) == [DUPLICATE, None]
        assert planned.reasons(*reversed(names)) == [None, DUPLICATE]

    def test_folders_that_collide_do_no_harm(self, planned: Planned) -> None:
        assert planned.reasons("x/a.wav", "X/b.wav") == [None, None]

    def test_the_shape_of_a_name_comes_before_its_copies(self, planned: Planned) -> None:
        assert planned.reasons("../a.wav", "../a.wav", "a.txt", "a.txt") == [UNSAFE, UNSAFE, DUPLICATE, DUPLICATE]

    def test_a_link_takes_its_namesake_along(self, planned: Planned) -> None:
        link = zipfile.ZipInfo("A.wav")
        link.external_attr = stat.S_IFLNK << 16
        assert planned.reasons(link, "a.wav") == [UNSAFE, DUPLICATE]

    def test_litter_collides_with_nothing(self, planned: Planned) -> None:
        assert planned.reasons("._a.wav", "._a.wav", "a.wav") == [None]


class TestLitter:
    @pytest.mark.parametrize(
        "name",
        ["__MACOSX/a.wav", "x/__MACOSX/._a.wav", "._a.wav", "x/._b.wav", ".DS_Store", "x/.DS_Store", "__MACOSX\\a.wav"],
    )
    def test_what_macos_leaves_behind_is_passed_over(self, planned: Planned, name: str) -> None:
        assert planned(raw=name.encode()) == []

    @pytest.mark.parametrize("name", ["Wave/", "Wave\\", "/", "x/y/", "../"])
    def test_folders_are_passed_over(self, tmp_path: Path, build: Builder, name: str) -> None:
        placeholder = "@" * len(name)
        archive = build.zipped({placeholder: b"", "a.wav": b"1"}).replace(placeholder.encode(), name.encode())
        (tmp_path / "TS_x.zip").write_bytes(archive)
        plan = plan_extraction(LandedZip.whole(tmp_path / "TS_x.zip"), ".wav", 1)
        assert [member.path for member in plan.members()] == ["a.wav"]
        assert len(plan.entries) == 1

    @pytest.mark.parametrize("name", ["MACOSX/a.wav", "a._b.wav", "x.DS_Store.wav", "__MACOSX.wav", ".a.wav"])
    def test_what_only_looks_like_it_is_not(self, planned: Planned, name: str) -> None:
        assert planned.reasons(name) == [None]

    @given(st.text(max_size=9), st.integers(0, 1))
    def test_a_name_is_litter_or_accounted_for(self, name: str, size: int) -> None:
        """A name that is not litter is either safe or rejected with a reason of the closed set."""
        try:
            decided = is_litter(name, size) or safe_name(name, 0, frozenset(), "")
        except Rejected as rejected:
            decided = RejectReason(rejected.reason)
        assert decided


class TestSurvey:
    def plan(self, folder: Path, archive: bytes, max_members: int = 9) -> ZipPlan:
        (folder / "TS_x.zip").write_bytes(archive)
        return plan_extraction(LandedZip.whole(folder / "TS_x.zip"), ".wav", max_members)

    def test_it_counts_members_and_bytes(self, tmp_path: Path, build: Builder) -> None:
        plan = self.plan(tmp_path, build.zipped({"a.wav": b"123", "b.txt": b"45", "._c": b"6789", "d/": b""}))
        assert (len(plan.entries), plan.size_bytes) == (2, 5)

    def test_the_members_are_limited(self, tmp_path: Path, build: Builder) -> None:
        archive = build.zipped({"a.wav": b"1", "b.wav": b"1", "._b": b"", "x/": b""})
        assert len(self.plan(tmp_path, archive, 2).entries) == 2
        with pytest.raises(ArchiveError, match=r"TS_x\.zip has 2 members; expected at most 1; .*raise members"):
            self.plan(tmp_path, archive, 1)

    def test_a_member_ends_where_the_next_begins(self, tmp_path: Path, build: Builder) -> None:
        members = list(self.plan(tmp_path, build.zipped({"a.wav": b"1", "b.wav": b"23"}, 0)).members())
        assert [(member.entry.offset, member.end) for member in members] == [(0, 36), (36, 73)]

    def test_the_order_of_the_directory_may_be_another_than_that_of_the_bytes(
        self, tmp_path: Path, build: Builder
    ) -> None:
        archive = build.zipped({"a.wav": b"1", "b.wav": b"23"}, 0)
        first, second = archive[73 : 73 + 51], archive[73 + 51 : 73 + 102]
        members = list(self.plan(tmp_path, archive[:73] + second + first + archive[73 + 102 :]).members())
        assert [(member.path, member.end) for member in members] == [("b.wav", 73), ("a.wav", 36)]

    def test_an_offset_outside_bounds_nothing(self, tmp_path: Path, build: Builder) -> None:
        archive = build.zipped({"a.wav": b"1", "b.wav": b"23"}, 0)
        start = archive.rindex(b"PK\x01\x02") + 42
        archive = archive[:start] + b"\xff\xff\xff\x7f" + archive[start + 4 :]
        assert [member.end for member in self.plan(tmp_path, archive).members()] == [73, 73]

    def test_numbers_beyond_all_offsets_are_no_error(self, tmp_path: Path, build: Builder) -> None:
        info = zipfile.ZipInfo("a.wav")
        info.extra = struct.pack("<HHQQ", 1, 16, 2**64 - 1, 2**64 - 1)
        archive = bytearray(build.zipped([(info, b"1")]))
        start = archive.index(b"PK\x01\x02")
        archive[start + 24 : start + 28] = archive[start + 42 : start + 46] = b"\xff" * 4
        (member,) = self.plan(tmp_path, bytes(archive)).members()
        assert (member.entry.size_bytes, member.entry.offset) == (2**64 - 1, 2**64 - 1)

    def test_what_is_no_zip_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"TS_x\.zip cannot be read as a ZIP"):
            self.plan(tmp_path, b"no zip")

    def test_a_zip_in_parts_is_read_like_a_whole_one(self, tmp_path: Path, build: Builder) -> None:
        archive = build.zipped({f"{n}.wav": b"1" for n in range(50)})
        parts = []
        for start in range(0, len(archive), 1000):
            parts.append(tmp_path / f"TS_x.zip.part{start}")
            parts[-1].write_bytes(archive[start : start + 1000])
        split = plan_extraction(LandedZip("TS_x.zip", tuple(parts)), ".wav", 99)
        assert list(split.members()) == list(self.plan(tmp_path, archive, 99).members())

    @given(st.lists(st.binary(min_size=1, max_size=12), max_size=5))
    def test_every_entry_is_accounted_for_or_litter(
        self, tmp_path_factory: pytest.TempPathFactory, build: Builder, raw_names: list[bytes]
    ) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for number in range(len(raw_names)):
                archive.writestr(f"@{number:011}", b"")
        content = stream.getvalue()
        for number, raw_name in enumerate(raw_names):
            content = content.replace(f"@{number:011}".encode(), raw_name.ljust(12, b"x"))
        plan = self.plan(tmp_path_factory.getbasetemp(), content)
        names = [decoded(raw_name.ljust(12, b"x")) for raw_name in raw_names]
        members = list(plan.members())
        assert len(members) == len(plan.entries) == sum(not is_litter(name, 0) for name in names)
        assert all((member.path is None) != (member.reason is None) for member in members)
