import io
import itertools
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.zips import PIECE_BYTES, Entry, check_readable, find_directory, read_entries, unpacked
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster.tables import RejectReason

CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
CONTENT = b"content " * 99
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]


def entries_of(archive: bytes | io.BufferedIOBase) -> list[Entry]:
    stream = io.BytesIO(archive) if isinstance(archive, bytes) else archive
    return list(read_entries(stream, find_directory(stream, "x.zip"), "x.zip"))


def contents_of(archive: bytes | io.BufferedIOBase) -> dict[str, bytes]:
    """The content of each member, each up to where the next begins."""
    stream = io.BytesIO(archive) if isinstance(archive, bytes) else archive
    entries = entries_of(stream)
    starts = sorted([*(entry.offset for entry in entries), find_directory(stream, "x.zip").start])
    ends = dict(itertools.pairwise(starts))
    return {e.raw_name.decode(): b"".join(unpacked(stream, e, ends[e.offset])) for e in entries}


def content_of(archive: bytes) -> bytes:
    """The content of the first member; nothing follows it but the directory."""
    stream = io.BytesIO(archive)
    check_readable(entries_of(archive)[0])
    return b"".join(unpacked(stream, entries_of(archive)[0], find_directory(stream, "x.zip").start))


def patched(archive: bytes, offset: int, value: bytes, header: bytes) -> bytes:
    """The first header of a kind with some bytes replaced."""
    start = archive.index(header) + offset
    return archive[:start] + value + archive[start + len(value) :]


class Unseekable(io.RawIOBase):
    """A pipe: what is written to it has its sizes and checksums behind the content."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Iterable[int]) -> int:
        self.written += bytes(content)
        return len(bytes(content))


def piped(members: dict[str, bytes]) -> bytes:
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return bytes(pipe.written)


class TestDirectory:
    def test_each_entry_says_what_the_zip_says(self, build):
        archive = build.zipped({"a.wav": CONTENT, "b.wav": b""})
        with zipfile.ZipFile(io.BytesIO(archive)) as reference:
            told = [
                (i.filename.encode(), i.CRC, i.compress_size, i.file_size, i.header_offset) for i in reference.filelist
            ]
        found = entries_of(archive)
        assert [(e.raw_name, e.crc32, e.packed_bytes, e.size_bytes, e.offset) for e in found] == told
        assert [(e.method, e.flags, e.mode) for e in found] == [(8, 0, 0o600), (8, 0, 0o600)]

    def test_a_zip_without_members_has_no_entries(self, build):
        assert entries_of(build.zipped({})) == []

    def test_a_program_before_the_zip_is_stepped_over(self, build):
        archive = build.zipped({"a.wav": CONTENT, "b.wav": b"2"})
        assert contents_of(b"#!/bin/sh\nexit\n" + archive) == {"a.wav": CONTENT, "b.wav": b"2"}

    def test_a_comment_behind_the_zip_is_stepped_over(self, build):
        stream = io.BytesIO(build.zipped({"a.wav": CONTENT}))
        with zipfile.ZipFile(stream, "a") as archive:
            archive.comment = b"c" * 65535
        assert contents_of(stream.getvalue()) == {"a.wav": CONTENT}

    def test_comments_and_extra_fields_of_members_are_stepped_over(self, build):
        info = zipfile.ZipInfo("a.wav")
        info.comment, info.extra = b"comment", struct.pack("<HHL", 0xCAFE, 4, 7)
        assert contents_of(build.zipped([(info, b"1"), ("b.wav", b"2")])) == {"a.wav": b"1", "b.wav": b"2"}

    def test_beyond_4_gib_the_numbers_are_64_bits_long(self, tmp_path):
        with (tmp_path / "x.zip").open("w+b") as sparse:
            sparse.seek(5 << 30)
            with zipfile.ZipFile(sparse, "w") as archive:
                archive.writestr("a.wav", b"1")
                archive.writestr("b.wav", b"2")
            assert [entry.offset for entry in entries_of(sparse)] == [5 << 30, (5 << 30) + 36]
            assert contents_of(sparse) == {"a.wav": b"1", "b.wav": b"2"}

    def test_a_zip_with_a_long_end_record_may_stand_behind_a_program(self, monkeypatch, build):
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        archive = build.zipped({"a.wav": CONTENT, "b.wav": b"2"})
        assert b"PK\x06\x06" in archive
        assert contents_of(b"#!/bin/sh\nexit\n" + archive) == {"a.wav": CONTENT, "b.wav": b"2"}

    def test_sizes_of_64_bits_are_found_among_other_extra_fields(self, monkeypatch, build):
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
        info = zipfile.ZipInfo("a.wav")
        info.extra = struct.pack("<HHL", 0xCAFE, 4, 7)
        archive = build.zipped([(info, CONTENT), ("b.wav", CONTENT)])
        assert archive.count(b"\xff\xff\xff\xff") >= 4
        assert contents_of(archive) == {"a.wav": CONTENT, "b.wav": CONTENT}

    def test_more_than_65535_members_are_all_found(self, build):
        archive = build.zipped({f"{n}.wav": b"" for n in range(65_600)}, zipfile.ZIP_STORED)
        assert [int(entry.raw_name[:-4]) for entry in entries_of(archive)] == list(range(65_600))

    @pytest.mark.parametrize("extra", [b"", b"\1", b"\1\0\x08\0\0", struct.pack("<HHQ", 9, 8, 5)])
    def test_a_missing_long_number_is_taken_as_it_stands(self, build, extra):
        info = zipfile.ZipInfo("a.wav")
        info.extra = extra
        (entry,) = entries_of(patched(build.zipped([(info, b"1")]), 24, b"\xff" * 4, CENTRAL))
        assert entry.size_bytes == 0xFFFFFFFF

    @pytest.mark.parametrize("cut", [1, 10, 21, 22, 40, 100])
    def test_a_zip_cut_short_is_refused(self, build, cut):
        archive = build.zipped({"a.wav": CONTENT, "b.wav": CONTENT})
        with pytest.raises(ArchiveError, match=r"x\.zip cannot be read as a ZIP"):
            entries_of(archive[:-cut])

    @pytest.mark.parametrize("content", [b"", b"no zip", bytes(100_000), END, LOCAL * 99])
    def test_what_is_no_zip_is_refused(self, content):
        with pytest.raises(ArchiveError, match="its end is missing"):
            entries_of(content)

    def test_a_directory_larger_than_the_file_is_refused(self, build):
        with pytest.raises(ArchiveError, match="before the file"):
            entries_of(patched(build.zipped({"a.wav": b"1"}), 12, b"\xff\xff\xff\x7f", END))

    @pytest.mark.parametrize(
        ("offset", "value"), [(0, b"PK\x01\x03"), (28, b"\xff\xff"), (30, b"\xff\xff"), (32, b"\1")]
    )
    def test_a_damaged_directory_is_refused(self, build, offset, value):
        with pytest.raises(ArchiveError, match="its directory is damaged"):
            entries_of(patched(build.zipped({"a.wav": b"1"}), offset, value, CENTRAL))

    def test_entries_are_not_held_in_memory(self, build):
        archive = io.BytesIO(build.zipped({f"{n:024x}.wav": b"" for n in range(20_000)}, zipfile.ZIP_STORED))
        directory = find_directory(archive, "x.zip")
        tracemalloc.start()
        count = sum(1 for _ in read_entries(archive, directory, "x.zip"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 20_000
        assert peak < 20_000  # one byte an entry, where `zipfile` takes 700


class TestContent:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7])
    def test_content_of_any_length_is_unpacked(self, build, method, size):
        content = random.Random(size).randbytes(size // 2) * 2 + b"x" * (size % 2)
        assert content_of(build.zipped({"a.wav": content}, method)) == content

    def test_streamed_members_have_their_numbers_behind_them(self):
        members = {"a.wav": CONTENT, "b.wav": b"", "c.wav": b"3"}
        assert contents_of(piped(members)) == members

    def test_a_bomb_comes_in_pieces(self, build):
        archive = build.zipped({"a.wav": bytes(50 << 20)})
        pieces = unpacked(io.BytesIO(archive), entries_of(archive)[0], len(archive))
        tracemalloc.start()
        assert max(map(len, pieces)) == PIECE_BYTES
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * PIECE_BYTES

    def test_no_more_is_unpacked_than_the_directory_says(self, build):
        archive = patched(build.zipped({"a.wav": bytes(50 << 20)}), 24, struct.pack("<L", PIECE_BYTES), CENTRAL)
        archive = patched(archive, 22, bytes(4), LOCAL)
        pieces = unpacked(io.BytesIO(archive), entries_of(archive)[0], len(archive))
        assert len(next(pieces)) == PIECE_BYTES
        with pytest.raises(Rejected, match="another size"):
            next(pieces)

    @pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000, 0x41])
    def test_an_encrypted_member_is_refused(self, build, flag):
        with pytest.raises(Rejected) as caught:
            content_of(patched(build.zipped({"a.wav": b"1"}), 8, struct.pack("<H", flag), CENTRAL))
        assert caught.value.reason == RejectReason.ENCRYPTED

    def test_aes_is_encryption_even_without_its_flag(self, build):
        with pytest.raises(Rejected) as caught:
            content_of(patched(build.zipped({"a.wav": b"1"}), 10, b"\x63\0", CENTRAL))
        assert caught.value.reason == RejectReason.ENCRYPTED

    @pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 98, 65535])
    def test_an_unusual_method_is_refused(self, build, method):
        with pytest.raises(Rejected, match=f"corrupt: packed by method {method}, which is not supported"):
            content_of(patched(build.zipped({"a.wav": b"1"}), 10, struct.pack("<H", method), CENTRAL))

    def test_a_patch_is_refused(self, build):
        with pytest.raises(Rejected, match="corrupt"):
            content_of(patched(build.zipped({"a.wav": b"1"}), 8, b"\x20", CENTRAL))

    @pytest.mark.parametrize(
        ("offset", "value"),
        [
            (6, b"\1\0"),  # encrypted
            (8, b"\0\0"),  # stored
            (14, b"\1\2\3\4"),  # checksum
            (18, b"\1\0\0\0"),  # packed size
            (22, b"\1\0\0\0"),  # size
            (26, b"\4\0"),  # length of the name
            (30, b"z"),  # name
        ],
    )
    def test_a_header_that_differs_from_the_directory_is_refused(self, build, offset, value):
        with pytest.raises(Rejected, match="corrupt: its own header differs from the directory"):
            content_of(patched(build.zipped({"a.wav": CONTENT}), offset, value, LOCAL))

    @pytest.mark.parametrize("offset", [14, 18, 22])
    @pytest.mark.parametrize("value", [b"\0" * 4, b"\xff" * 4])
    def test_a_number_that_a_header_leaves_open_is_taken_from_the_directory(self, build, offset, value):
        assert content_of(patched(build.zipped({"a.wav": CONTENT}), offset, value, LOCAL)) == CONTENT

    @pytest.mark.parametrize("offset", [b"\5\0\0\0", b"\x01\0\0\0"])
    def test_a_header_that_is_elsewhere_is_refused(self, build, offset):
        with pytest.raises(Rejected, match="does not begin where the directory says"):
            content_of(patched(build.zipped({"a.wav": CONTENT}), 42, offset, CENTRAL))

    def test_a_header_outside_the_archive_is_refused(self, build):
        archive = build.zipped({"a.wav": CONTENT})
        with pytest.raises(Rejected, match="outside the archive"):
            content_of(patched(archive, 42, b"\xff\xff\xff\x7f", CENTRAL))
        start = struct.unpack("<L", archive[archive.index(END) + 16 :][:4])[0]
        shifted = patched(archive, 16, struct.pack("<L", start + 50), END)
        assert entries_of(shifted)[0].offset == -50
        with pytest.raises(Rejected, match="outside the archive"):
            content_of(shifted)

    def test_bytes_of_the_next_member_are_not_its_own(self, build):
        archive = build.zipped({"a.wav": CONTENT}, zipfile.ZIP_STORED)
        (entry,) = entries_of(archive)
        assert b"".join(unpacked(io.BytesIO(archive), entry, 35 + len(CONTENT))) == CONTENT
        with pytest.raises(Rejected, match="corrupt: its bytes are those of another member too"):
            next(unpacked(io.BytesIO(archive), entry, 34 + len(CONTENT)))

    @pytest.mark.parametrize("method", METHODS)
    def test_content_that_changed_is_refused(self, build, method):
        archive = build.zipped({"a.wav": CONTENT}, method)
        with pytest.raises(Rejected, match="corrupt"):
            content_of(patched(archive, 36, bytes([archive[36] ^ 1]), LOCAL))

    def test_another_checksum_is_refused(self, build):
        archive = patched(build.zipped({"a.wav": CONTENT}), 16, b"\1\2\3\4", CENTRAL)
        with pytest.raises(Rejected, match="corrupt: unpacks to another checksum"):
            content_of(patched(archive, 14, b"\1\2\3\4", LOCAL))

    @pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
    def test_another_size_is_refused(self, build, size):
        archive = patched(build.zipped({"a.wav": CONTENT}), 24, struct.pack("<L", size), CENTRAL)
        with pytest.raises(Rejected, match="corrupt: unpacks to another size"):
            content_of(patched(archive, 22, struct.pack("<L", size), LOCAL))

    def test_an_archive_that_ends_meanwhile_is_refused(self, build):
        archive = build.zipped({"a.wav": CONTENT}, zipfile.ZIP_STORED)
        (entry,) = entries_of(archive)
        with pytest.raises(Rejected, match="the archive ends before it"):
            list(unpacked(io.BytesIO(archive[:500]), entry, len(archive)))

    @pytest.mark.parametrize("data", [b"\xff" * 9, b"", b"\x03"])
    def test_what_is_not_deflated_is_refused(self, build, data):
        archive = patched(build.zipped({"a.wav": CONTENT}), 20, struct.pack("<L", len(data)), CENTRAL)
        archive = patched(patched(archive, 18, bytes(4), LOCAL), 35, data, LOCAL)
        with pytest.raises(Rejected, match="corrupt"):
            content_of(archive)


members_strategy = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), st.binary(max_size=300)),
    max_size=5,
    unique_by=lambda member: member[0].partition("\0")[0],
)


@given(members=members_strategy, method=st.sampled_from(METHODS), prefix=st.binary(max_size=9), streamed=st.booleans())
@settings(max_examples=150)
def test_what_zipfile_writes_is_read_as_zipfile_reads_it(build, members, method, prefix, streamed):
    written = {name.partition("\0")[0] or "x": content for name, content in members}
    archive = prefix + (piped(written) if streamed else build.zipped(written, method))
    assert contents_of(archive) == written


@given(data=st.data())
@settings(max_examples=300)
def test_damage_is_always_found(build, data):
    """What is unpacked has the size and checksum that the directory states, and no other error comes up."""
    archive = bytearray(build.zipped({"a.wav": CONTENT, "b.wav": b"2"}, data.draw(st.sampled_from(METHODS))))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = entries_of(bytes(archive))
    except ArchiveError:
        return
    for entry in found:
        try:
            check_readable(entry)
            content = b"".join(unpacked(io.BytesIO(archive), entry, len(archive)))
        except Rejected:
            continue
        assert zlib.crc32(content) == entry.crc32
        assert len(content) == entry.size_bytes
