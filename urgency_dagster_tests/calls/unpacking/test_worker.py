import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from urgency_dagster.calls.landing.zips import PIECE_BYTES, Entry
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.worker import is_complete
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.calls.extracting import END, LIMITS, LOCAL, NAME, Unpacking, listed_again, patched
from urgency_dagster_tests.conftest import Builder

MEMBERS = {"a_1.wav": b"a" * 999, "x/b_1.wav": b"b" * 999, "c_1.wav": b""}
CORRUPT, ENCRYPTED, TOO_LARGE = RejectReason.CORRUPT, RejectReason.ENCRYPTED, RejectReason.TOO_LARGE


@pytest.fixture
def unpack(paths: StoragePaths, build: Builder) -> Unpacking:
    return Unpacking(paths, build)


class TestDamage:
    """One member is damaged, the other is kept."""

    def archive(self, build: Builder, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        return build.zipped({NAME: b"content " * 99, "b_1.wav": b"2"}, method)

    def check(self, unpack: Unpacking, archive: bytes, reason: RejectReason) -> None:
        rows = unpack(archive)
        assert unpack.written() == {"b_1.wav": b"2"}
        assert (rows[NAME]["reason"], rows[NAME]["path"]) == (reason, None)
        assert rows["b_1.wav"]["reason"] is None
        assert unpack.counts == {
            "audio_files": 1,
            "label_files": 0,
            "rejected_members": 1,
            "bytes": 1,
            "extracted": 1,
            "reused": 0,
        }

    def test_the_undamaged_archive_is_kept(self, unpack: Unpacking, build: Builder) -> None:
        unpack(self.archive(build))
        assert unpack.written()[NAME] == b"content " * 99

    def test_encrypted(self, unpack: Unpacking, build: Builder) -> None:
        self.check(unpack, patched(patched(self.archive(build), 8, b"\1\0"), 6, b"\1\0", LOCAL), ENCRYPTED)

    def test_strongly_encrypted(self, unpack: Unpacking, build: Builder) -> None:
        self.check(unpack, patched(patched(self.archive(build), 8, b"\x41\0"), 6, b"\x41\0", LOCAL), ENCRYPTED)

    def test_encrypted_with_aes(self, unpack: Unpacking, build: Builder) -> None:
        archive = patched(patched(self.archive(build), 8, b"\1\0\x63\0"), 6, b"\1\0\x63\0", LOCAL)
        self.check(unpack, archive, ENCRYPTED)

    def test_another_checksum(self, unpack: Unpacking, build: Builder) -> None:
        archive = patched(patched(self.archive(build), 16, b"\1\2\3\4"), 14, b"\1\2\3\4", LOCAL)
        self.check(unpack, archive, CORRUPT)

    def test_changed_content(self, unpack: Unpacking, build: Builder) -> None:
        archive = self.archive(build, zipfile.ZIP_STORED)
        self.check(unpack, archive.replace(b"content ", b"Content ", 1), CORRUPT)

    def test_a_broken_stream(self, unpack: Unpacking, build: Builder) -> None:
        archive = self.archive(build)
        self.check(unpack, patched(archive, 30 + len(NAME), b"\xff\xff\xff\xff", LOCAL), CORRUPT)

    def test_a_truncated_stream(self, unpack: Unpacking, build: Builder) -> None:
        archive = patched(patched(self.archive(build), 20, struct.pack("<L", 9)), 18, struct.pack("<L", 9), LOCAL)
        self.check(unpack, archive, CORRUPT)

    @pytest.mark.parametrize("size", [10, 100_000, 0])
    def test_a_size_that_is_a_lie(self, unpack: Unpacking, build: Builder, size: int) -> None:
        archive = patched(self.archive(build), 24, struct.pack("<L", size))
        self.check(unpack, patched(archive, 22, struct.pack("<L", size), LOCAL), CORRUPT)

    def test_a_size_beyond_all_numbers(self, unpack: Unpacking, build: Builder) -> None:
        info = zipfile.ZipInfo(NAME)
        info.extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)
        archive = build.zipped([(info, b"1" * 100), ("b_1.wav", b"2")])
        self.check(unpack, patched(archive, 24, b"\xff" * 4), CORRUPT)

    @pytest.mark.parametrize("offset", [b"\xff\xff\xff\x7f", b"\5\0\0\0"])
    def test_a_header_that_is_elsewhere(self, unpack: Unpacking, build: Builder, offset: bytes) -> None:
        self.check(unpack, patched(self.archive(build), 42, offset), CORRUPT)

    def test_a_header_before_the_archive(self, unpack: Unpacking, build: Builder) -> None:
        """The directory is said to begin later than it does, so every offset moves before the file."""
        archive = build.zipped({NAME: b"1"})
        start = struct.unpack("<L", archive[archive.index(END) + 16 :][:4])[0]
        rows = unpack(patched(archive, 16, struct.pack("<L", start + 50), END))
        assert rows[NAME]["reason"] == CORRUPT

    @pytest.mark.parametrize("name", [b"z", b"\xff"])
    def test_a_name_that_is_not_the_one_in_the_directory(self, unpack: Unpacking, build: Builder, name: bytes) -> None:
        self.check(unpack, patched(self.archive(build), 30, name, LOCAL), CORRUPT)

    @pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (98, "PPMd"), (93, "Zstandard"), (77, "method 77")])
    def test_a_method_that_is_not_read_is_named(
        self, unpack: Unpacking, build: Builder, method: int, name: str
    ) -> None:
        number = method.to_bytes(2, "little")
        self.check(unpack, patched(patched(self.archive(build), 10, number), 8, number, LOCAL), CORRUPT)
        detail = unpack.rows()[0]["detail"]
        assert detail.startswith(f"packed by {name}, which is not read; unpack it, and pack its files with Deflate")

    def test_a_rejected_member_takes_no_room_while_others_are_unpacked(self, unpack: Unpacking, build: Builder) -> None:
        archive = self.archive(build, zipfile.ZIP_STORED).replace(b"content ", b"Content ", 1)
        seen: list[Path] = []
        unpack(archive, progress=lambda done, total, **_: seen.extend(unpack.files.unpacking.rglob("*.wav")))
        assert [file.name for file in seen] == ["b_1.wav"]

    def test_a_rejected_member_leaves_no_folder(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"x/y/a_1.wav": b"1" * 99, "z/b_1.wav": b"2"}, zipfile.ZIP_STORED)
        unpack(archive.replace(b"111", b"121", 1))
        assert unpack.written() == {"z/b_1.wav": b"2"}

    @pytest.mark.parametrize("name", [b"a_9", b"a_1"])
    def test_no_detail_shows_a_name(self, unpack: Unpacking, build: Builder, name: bytes) -> None:
        archive = patched(self.archive(build, zipfile.ZIP_STORED), 30, name, LOCAL).replace(b"content", b"Content", 1)
        rows = unpack(archive)
        assert rows[NAME]["reason"] == CORRUPT
        assert "a_" not in rows[NAME]["detail"]


class TestOverlaps:
    def test_one_member_listed_many_times_is_kept_once(self, unpack: Unpacking, build: Builder) -> None:
        names = [b"b_1.wav", b"c_1.wav", b"d_1.wav"]
        unpack(listed_again(build.zipped({NAME: bytes(1 << 20)}), *names))
        assert [row["reason"] for row in unpack.rows()] == [None, CORRUPT, CORRUPT, CORRUPT]
        assert unpack.written() == {NAME: bytes(1 << 20)}

    def test_one_member_listed_twice_under_its_name_is_a_duplicate(self, unpack: Unpacking, build: Builder) -> None:
        unpack(listed_again(build.zipped({NAME: b"1"}), NAME.encode()))
        assert [row["reason"] for row in unpack.rows()] == [RejectReason.DUPLICATE_NAME] * 2

    def test_members_that_hold_each_other_are_rejected(self, unpack: Unpacking, build: Builder) -> None:
        """The first holds the second and third, the second the third: bytes that would be unpacked again and again."""
        archive = bytearray(build.zipped({"a.wav": b"1" * 40, "b.wav": b"2" * 40, "c.wav": b"3"}, zipfile.ZIP_STORED))
        for name, until in ((b"b.wav", 160), (b"a.wav", 160)):
            header, entry = archive.index(name) - 30, archive.rindex(name) - 46
            content = bytes(archive[header + 35 : until])
            numbers = struct.pack("<3L", zlib.crc32(content), len(content), len(content))
            archive[header + 14 : header + 26] = archive[entry + 16 : entry + 28] = numbers
        rows = unpack(bytes(archive))
        assert {name: row["reason"] for name, row in rows.items()} == {
            "a.wav": CORRUPT,
            "b.wav": CORRUPT,
            "c.wav": None,
        }
        assert unpack.written() == {"c.wav": b"3"}

    def test_a_member_that_reaches_into_the_directory_is_rejected(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"a.wav": b"1"}, zipfile.ZIP_STORED)
        content = archive[35:40]
        numbers = struct.pack("<3L", zlib.crc32(content), 5, 5)
        rows = unpack(patched(patched(archive, 16, numbers), 14, numbers, LOCAL))
        assert rows["a.wav"]["reason"] == CORRUPT


class TestLimits:
    def test_a_member_of_just_the_size_is_kept(self, unpack: Unpacking, build: Builder) -> None:
        limits = ExtractionConfig(member_bytes=1000)
        archive = build.zipped({NAME: b"1" * 1000, "b_1.wav": b"2" * 1001}, zipfile.ZIP_STORED)
        rows = unpack(archive, limits)
        assert list(unpack.written()) == [NAME]
        assert (rows["b_1.wav"]["reason"], rows["b_1.wav"]["detail"]) == (TOO_LARGE, "unpacks to more than 1000 bytes")

    def test_a_bomb_stops_at_the_ratio(self, unpack: Unpacking, build: Builder) -> None:
        rows = unpack(build.zipped({NAME: bytes(5 << 20)}), ExtractionConfig(ratio=100))
        assert rows[NAME]["reason"] == TOO_LARGE
        assert unpack.written() == {}

    def test_small_members_may_be_packed_as_well_as_they_can(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped({NAME: bytes(1 << 20)}), ExtractionConfig(ratio=2))
        assert list(unpack.written()) == [NAME]

    def test_a_bomb_is_never_written_whole(self, unpack: Unpacking, build: Builder) -> None:
        """The header says less than there is, and the limit is above it: the file stays at what the header says."""
        archive = build.zipped({NAME: bytes(50 << 20)})
        archive = patched(patched(archive, 24, struct.pack("<L", 1000)), 22, bytes(4), LOCAL)
        rows = unpack(archive)
        assert (rows[NAME]["reason"], unpack.written()) == (CORRUPT, {})

    @pytest.mark.parametrize(
        ("packed", "max_bytes"), [(0, 1 << 20), (5242, 1 << 20), (5243, 1_048_600), (1 << 40, 256 << 20)]
    )
    def test_the_limit_of_a_member_grows_with_its_packed_size(self, packed: int, max_bytes: int) -> None:
        assert LIMITS.max_member_bytes(Entry(0, b"", 0, 8, 0, packed, 0, 0, 0)) == max_bytes


class TestWhole:
    """What is taken for a member that was unpacked before."""

    CONTENT = bytes(range(256)) * (PIECE_BYTES // 128)

    def entry(self) -> Entry:
        return Entry(0, b"", 0, 8, zlib.crc32(self.CONTENT), 0, len(self.CONTENT), 0, 0)

    def test_the_same_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(self.CONTENT)
        assert is_complete(tmp_path / "a.wav", self.entry(), len(self.CONTENT))

    def test_not_what_is_over_the_limit(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(self.CONTENT)
        assert not is_complete(tmp_path / "a.wav", self.entry(), len(self.CONTENT) - 1)

    @pytest.mark.parametrize("position", [0, PIECE_BYTES, 2 * PIECE_BYTES - 1])
    def test_not_another_byte(self, tmp_path: Path, position: int) -> None:
        content = bytearray(self.CONTENT)
        content[position] ^= 1
        (tmp_path / "a.wav").write_bytes(content)
        assert not is_complete(tmp_path / "a.wav", self.entry(), len(content))

    @pytest.mark.parametrize("length", [0, -1, 1])
    def test_not_another_length(self, tmp_path: Path, length: int) -> None:
        content = self.CONTENT[:length] if length < 1 else self.CONTENT + b"\0"
        (tmp_path / "a.wav").write_bytes(content)
        assert not is_complete(tmp_path / "a.wav", self.entry(), 1 << 30)

    def test_not_what_only_has_the_checksum(self, tmp_path: Path) -> None:
        """Four bytes can give any checksum, so the size counts too."""
        (tmp_path / "a.wav").write_bytes(b"")
        assert not is_complete(tmp_path / "a.wav", Entry(0, b"", 0, 8, 0, 0, 4, 0, 0), 1 << 30)

    def test_not_a_link_a_folder_or_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "folder.wav").mkdir()
        for name in ("folder.wav", "none.wav", "a.wav/b.wav"):
            assert not is_complete(tmp_path / name, self.entry(), 1 << 30)
        content = b"a" * len(str(tmp_path / "a.wav"))  # as long as a link to it
        (tmp_path / "a.wav").write_bytes(content)
        (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
        entry = Entry(0, b"", 0, 8, zlib.crc32(content), 0, len(content), 0, 0)
        assert is_complete(tmp_path / "a.wav", entry, 1 << 30)
        assert not is_complete(tmp_path / "link.wav", entry, 1 << 30)


class TestReuse:
    def again(
        self, unpack: Unpacking, build: Builder, members: dict[str, bytes], limits: ExtractionConfig = LIMITS
    ) -> None:
        """Unpacks a ZIP over what is there; the result is that of a fresh extraction."""
        unpack(build.zipped(members), limits)
        made, account, written = unpack.made(), unpack.files.members.read_bytes(), unpack.written()
        for folder in (unpack.files.audio, unpack.files.labels):
            folder.rename(folder.with_suffix(".aside"))
        unpack(build.zipped(members), limits)
        assert (unpack.files.members.read_bytes(), unpack.written()) == (account, written)
        assert unpack.made() == (sum(made), 0)
        self.made = made

    def test_what_is_there_is_not_unpacked_again(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped(MEMBERS))
        assert unpack.made() == (3, 0)
        before = {path.name: path.stat().st_ino for path in unpack.files.audio.rglob("*.wav")}
        unpack(build.zipped(MEMBERS))
        assert unpack.made() == (0, 3)
        assert {path.name: path.stat().st_ino for path in unpack.files.audio.rglob("*.wav")} == before
        assert {path.stat().st_nlink for path in unpack.files.audio.rglob("*.wav")} == {1}

    def test_a_changed_a_removed_and_a_new_member(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped(MEMBERS))
        changed = {"a_1.wav": b"A" * 999, "c_1.wav": b"", "d_1.wav": b"new"}
        self.again(unpack, build, changed)
        assert self.made == (2, 1)
        assert unpack.written() == changed

    def test_a_member_of_another_length(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped(MEMBERS))
        self.again(unpack, build, {**MEMBERS, "a_1.wav": b"a" * 998})
        assert self.made == (1, 2)

    @pytest.mark.parametrize("damage", ["flip", "cut", "grow", "remove", "link", "folder"])
    def test_a_file_that_was_damaged_in_place(self, unpack: Unpacking, build: Builder, damage: str) -> None:
        unpack(build.zipped(MEMBERS))
        file = unpack.files.audio / "x" / "b_1.wav"
        content = {"flip": b"b" * 998 + b"c", "cut": b"b" * 998, "grow": b"b" * 1000}.get(damage)
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        elif damage == "link":
            (unpack.files.folder / "elsewhere").write_bytes(b"b" * 999)
            file.symlink_to(unpack.files.folder / "elsewhere")
        elif damage == "folder":
            file.mkdir()
        self.again(unpack, build, MEMBERS)
        assert self.made == (1, 2)
        assert unpack.written() == MEMBERS
        assert not file.is_symlink()

    def test_a_file_that_does_not_belong_there(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped(MEMBERS))
        (unpack.files.audio / "x" / "stranger.wav").write_bytes(b"1")
        (unpack.files.audio / "empty").mkdir()
        self.again(unpack, build, MEMBERS)
        assert self.made == (0, 3)

    def test_a_folder_where_a_file_was_and_a_file_where_a_folder_was(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped({"x.wav": b"1", "y.wav/b.wav": b"2"}))
        self.again(unpack, build, {"x.wav/b.wav": b"1", "y.wav": b"2"})
        assert self.made == (2, 0)

    def test_a_member_that_is_rejected_now(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped(MEMBERS))
        self.again(unpack, build, MEMBERS, ExtractionConfig(member_bytes=998))
        assert self.made == (0, 1)
        assert unpack.written() == {"c_1.wav": b""}

    def test_a_member_that_is_encrypted_now(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped(MEMBERS)
        unpack(archive)
        rows = unpack(patched(patched(archive, 8, b"\1\0"), 6, b"\1\0", LOCAL))
        assert rows["a_1.wav"]["reason"] == ENCRYPTED
        assert unpack.made() == (0, 2)

    @pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no other disk is known here")
    def test_a_folder_on_another_disk_is_unpacked_again(
        self, unpack: Unpacking, build: Builder, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        unpack(build.zipped(MEMBERS))
        other = Path("/dev/shm") / f"urgency-{os.getpid()}"
        if other.parent.stat().st_dev == unpack.files.folder.stat().st_dev:
            pytest.skip("the same disk")
        unpack.files.audio.rename(unpack.files.folder / "aside")
        try:
            shutil.copytree(unpack.files.folder / "aside", other)
            unpack.files.audio.symlink_to(other)
            unpack(build.zipped(MEMBERS))
            assert (unpack.made(), unpack.written()) == ((3, 0), MEMBERS)
            assert not unpack.files.audio.is_symlink()
            assert (other / "a_1.wav").read_bytes() == b"a" * 999, "what the link led to stays"
        finally:
            shutil.rmtree(other)

    def test_a_name_too_long_for_the_disk_is_rejected(self, build: Builder, tmp_path: Path) -> None:
        """The root of the storage takes so much of a path that a name within the limits does not fit any more."""
        deep = tmp_path
        while len(str(deep)) < 3300:
            deep = deep / ("d" * 200)
        deep.mkdir(parents=True)
        unpack = Unpacking(StoragePaths(deep), build)
        name = "/".join(["n" * 200] * 4) + "/a.wav"
        rows = unpack(build.zipped({name: b"1", "b.wav": b"2"}))
        assert rows[name[:500]]["reason"] == RejectReason.UNSAFE_NAME
        assert unpack.written() == {"b.wav": b"2"}
