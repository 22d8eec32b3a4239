"""What `zipfile` leaves to its callers: bounds, shared bytes, and one kind of error."""

import io
import itertools
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.landing.methods import method_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import (
    MAX_DIRECTORY_BYTES,
    PIECE_BYTES,
    BoundedReads,
    Entry,
    check_readable,
    entries,
    listed,
    opened,
    unpacked,
)
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster_tests.conftest import Builder

CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
CONTENT = b"content " * 99
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]


def reader(archive: bytes) -> zipfile.ZipFile:
    return listed(io.BytesIO(archive))


def entries_of(archive: bytes) -> list[Entry]:
    return list(entries(reader(archive)))


def contents_of(archive: bytes) -> dict[str, bytes]:
    """The content of each member, each up to where the next begins."""
    read = reader(archive)
    found = list(entries(read))
    ends = dict(itertools.pairwise(sorted([*(entry.offset for entry in found), read.start_dir])))
    return {e.raw_name.decode(): b"".join(unpacked(read, e, ends[e.offset])) for e in found}


def content_of(archive: bytes) -> bytes:
    """The content of the first member; nothing follows it but the directory."""
    read = reader(archive)
    entry = next(entries(read))
    check_readable(entry)
    return b"".join(unpacked(read, entry, read.start_dir))


def patched(archive: bytes, offset: int, value: bytes, header: bytes) -> bytes:
    """The first header of a kind with some bytes replaced."""
    start = archive.index(header) + offset
    return archive[:start] + value + archive[start + len(value) :]


class TestDirectory:
    def test_each_entry_says_what_the_zip_says(self, build: Builder) -> None:
        info = zipfile.ZipInfo("가.wav")
        info.external_attr = 0o120777 << 16
        (first, second) = entries_of(build.zipped([("a.json", b"{}"), (info, CONTENT)]))
        assert first == Entry(0, b"a.json", 0, 8, zlib.crc32(b"{}"), 4, 2, 0, 0o600)
        assert (second.number, second.raw_name.decode(), second.flags) == (1, "가.wav", 0x800)
        assert (second.size_bytes, second.crc32, second.mode) == (len(CONTENT), zlib.crc32(CONTENT), 0o120777)

    @pytest.mark.parametrize("name", ["광주".encode("cp949"), "광주".encode(), bytes(range(1, 256)), b"a\0b"])
    def test_the_bytes_of_a_name_are_had_back(self, build: Builder, name: bytes) -> None:
        (entry,) = entries_of(build.renamed(name))
        assert entry.raw_name == name

    def test_a_program_before_the_zip_is_stepped_over(self, build: Builder) -> None:
        assert contents_of(b"#!program" + build.zipped({"a.wav": CONTENT})) == {"a.wav": CONTENT}

    @pytest.mark.parametrize("cut", [1, 10, 21, 22, 40, 100])
    def test_a_zip_cut_short_is_refused(self, build: Builder, tmp_path: Path, cut: int) -> None:
        (tmp_path / "TS_x.zip").write_bytes(build.zipped({"a.wav": CONTENT})[:-cut])
        with (
            pytest.raises(ArchiveError, match=r"TS_x\.zip cannot be read as a ZIP .*copy it again"),
            opened(LandedZip.whole(tmp_path / "TS_x.zip")),
        ):
            pass

    @pytest.mark.parametrize(("offset", "value"), [(0, b"XX"), (6, b"\xff\0")])
    def test_a_damaged_directory_is_refused(self, build: Builder, offset: int, value: bytes) -> None:
        with pytest.raises(zipfile.BadZipFile):
            reader(patched(build.zipped({"a.wav": CONTENT}), offset, value, CENTRAL))

    def test_names_that_are_wrongly_flagged_are_refused_without_being_told(self, build: Builder) -> None:
        archive = build.zipped({"가가가.wav": b"1"}).replace("가가가".encode(), "가나다".encode("cp949") + b"abc")
        with pytest.raises(zipfile.BadZipFile, match=r"^UnicodeDecodeError$"):
            reader(archive)

    def test_a_list_that_is_said_to_be_as_long_as_a_huge_file_is_not_read(self, tmp_path: Path) -> None:
        file = tmp_path / "TS_x.zip"
        length = MAX_DIRECTORY_BYTES + 1
        with file.open("wb") as stream:
            stream.seek(length)  # a hole, which takes no room on the disk
            stream.write(struct.pack("<4s4H2LH", END, 0, 0, 1, 1, length, 0, 0))
        with (
            pytest.raises(ArchiveError, match=f"would take {length} bytes, of {length - 1} at most"),
            opened(LandedZip.whole(file)),
        ):
            pass

    def test_a_disk_that_fails_is_not_taken_for_the_end_of_the_file(self) -> None:
        class Failing(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError(5, "Input/output error")

        with pytest.raises(ArchiveError, match=r"cannot be read \(Input/output error\)"):
            listed(Failing(b"PK"))

    def test_before_the_beginning_lies_nothing(self) -> None:
        with pytest.raises(zipfile.BadZipFile):
            BoundedReads(io.BytesIO(b"x")).seek(-1)


class TestContent:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7])
    def test_content_of_any_length_is_unpacked(self, build: Builder, method: int, size: int) -> None:
        assert content_of(build.zipped({"a.wav": bytes(size)}, method)) == bytes(size)

    @pytest.mark.parametrize("method", METHODS)
    def test_large_content_comes_in_pieces(self, build: Builder, method: int) -> None:
        read = reader(build.zipped({"a.wav": bytes(50 << 20)}, method))
        (entry,) = entries(read)
        tracemalloc.start()
        assert max(map(len, unpacked(read, entry, read.start_dir))) == PIECE_BYTES
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * PIECE_BYTES

    @pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000, 0x41])
    def test_an_encrypted_member_is_refused(self, build: Builder, flag: int) -> None:
        with pytest.raises(Rejected) as caught:
            content_of(patched(build.zipped({"a.wav": b"1"}), 8, struct.pack("<H", flag), CENTRAL))
        assert caught.value.reason == RejectReason.ENCRYPTED

    def test_aes_is_encryption_even_without_its_flag(self, build: Builder) -> None:
        with pytest.raises(Rejected) as caught:
            content_of(patched(build.zipped({"a.wav": b"1"}), 10, b"\x63\0", CENTRAL))
        assert caught.value.reason == RejectReason.ENCRYPTED

    @pytest.mark.parametrize("method", [1, 9, 93, 98, 65535])
    def test_an_unusual_method_is_refused(self, build: Builder, method: int) -> None:
        with pytest.raises(Rejected, match=f"corrupt: packed by {method_name(method)}, which is not read"):
            content_of(patched(build.zipped({"a.wav": b"1"}), 10, struct.pack("<H", method), CENTRAL))

    @pytest.mark.parametrize(("offset", "value"), [(8, b"\x20"), (42, b"\5\0\0\0"), (42, b"\x01\0\0\0")])
    def test_what_zipfile_does_not_open_is_refused(self, build: Builder, offset: int, value: bytes) -> None:
        """A patch, and members that do not begin where the directory says."""
        with pytest.raises(Rejected, match="corrupt"):
            content_of(patched(build.zipped({"a.wav": CONTENT}), offset, value, CENTRAL))

    def test_another_name_in_the_header_of_the_member_is_refused(self, build: Builder) -> None:
        with pytest.raises(Rejected, match=r"corrupt: BadZipFile$"):
            content_of(patched(build.zipped({"a.wav": CONTENT}), 30, b"z", LOCAL))

    def test_a_member_outside_the_archive_is_refused(self, build: Builder) -> None:
        archive = build.zipped({"a.wav": CONTENT})
        with pytest.raises(Rejected, match="outside the archive"):
            content_of(patched(archive, 42, b"\xff\xff\xff\x7f", CENTRAL))
        start = struct.unpack("<L", archive[archive.index(END) + 16 :][:4])[0]
        shifted = patched(archive, 16, struct.pack("<L", start + 50), END)
        assert entries_of(shifted)[0].offset == -50
        with pytest.raises(Rejected, match="outside the archive"):
            content_of(shifted)

    def test_bytes_of_the_next_member_are_not_its_own(self, build: Builder) -> None:
        read = reader(build.zipped({"a.wav": CONTENT}, zipfile.ZIP_STORED))
        (entry,) = entries(read)
        assert b"".join(unpacked(read, entry, 35 + len(CONTENT))) == CONTENT
        with pytest.raises(Rejected, match="corrupt: its bytes are those of another member too"):
            next(unpacked(read, entry, 34 + len(CONTENT)))

    @pytest.mark.parametrize("method", METHODS)
    def test_content_that_changed_is_refused(self, build: Builder, method: int) -> None:
        archive = build.zipped({"a.wav": CONTENT}, method)
        with pytest.raises(Rejected, match="corrupt"):
            content_of(patched(archive, 36, bytes([archive[36] ^ 1]), LOCAL))

    @pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
    def test_another_size_is_refused(self, build: Builder, size: int) -> None:
        archive = patched(build.zipped({"a.wav": CONTENT}), 24, struct.pack("<L", size), CENTRAL)
        with pytest.raises(Rejected, match="corrupt"):
            content_of(patched(archive, 22, struct.pack("<L", size), LOCAL))

    @pytest.mark.parametrize("data", [b"\xff" * 9, b"", b"\x03"])
    def test_what_is_not_deflated_is_refused(self, build: Builder, data: bytes) -> None:
        archive = patched(build.zipped({"a.wav": CONTENT}), 20, struct.pack("<L", len(data)), CENTRAL)
        archive = patched(patched(archive, 18, bytes(4), LOCAL), 35, data, LOCAL)
        with pytest.raises(Rejected, match="corrupt"):
            content_of(archive)


@given(data=st.data())
@settings(max_examples=300)
def test_damage_is_always_found(build: Builder, data: st.DataObject) -> None:
    """What is unpacked has the size and checksum that the directory states, and no other error comes up."""
    archive = bytearray(build.zipped({"a.wav": CONTENT, "b.wav": b"2"}, data.draw(st.sampled_from(METHODS))))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = reader(bytes(archive))
    except zipfile.BadZipFile:
        return
    for entry in entries(read):
        try:
            check_readable(entry)
            content = b"".join(unpacked(read, entry, len(archive)))
        except Rejected:
            continue
        assert zlib.crc32(content) == entry.crc32
        assert len(content) == entry.size_bytes
