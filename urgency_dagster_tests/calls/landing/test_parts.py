import gc
import io
import os
import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.landing.parts import GONE, JoinedParts, LandedZip
from urgency_dagster_tests.conftest import Builder

MEMBERS = {"a.wav": b"first" * 9, "한글.wav": b"", "b.wav": b"last"}


def cut(content: bytes, folder: Path, *cuts: int) -> LandedZip:
    """Writes `content` as parts named by their offsets, with a cut at each of some offsets."""
    parts = []
    for number, (start, end) in enumerate(pairwise((0, *cuts, len(content)))):
        part = folder / f"{number}.part{start}"
        part.write_bytes(content[start:end])
        parts.append(part)
    return LandedZip("TS_x.zip", tuple(parts))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_cut_anywhere_reads_like_the_whole(build: Builder, tmp_path: Path, method: int) -> None:
    whole = build.zipped(MEMBERS, method)
    for offset in range(len(whole) + 1):
        with cut(whole, tmp_path, offset).open() as stream, zipfile.ZipFile(stream) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == MEMBERS


def test_one_part_is_read_as_it_is(build: Builder, tmp_path: Path) -> None:
    whole = build.zip(tmp_path / "TS_x.zip", MEMBERS)
    landed = LandedZip.whole(whole)
    with landed.open() as stream:
        assert stream.read() == whole.read_bytes()
    assert (landed.name, landed.size_bytes) == ("TS_x.zip", whole.stat().st_size)


SEEK = st.tuples(st.integers(-70, 70), st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]))


def moved(stream: io.BufferedIOBase | io.RawIOBase, offset: int, whence: int) -> int | type:
    try:
        return stream.seek(offset, whence)
    except OSError as error:
        return type(error)


@given(
    content=st.binary(max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    steps=st.lists(SEEK | st.integers(-1, 70)),
)
def test_joined_parts_behave_like_one_file(content: bytes, cuts: list[int], steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        whole.write_bytes(content)
        landed = cut(content, Path(folder), *sorted(min(at, len(content)) for at in cuts), len(content))
        with landed.open() as joined, whole.open("rb") as stream, JoinedParts(landed.parts) as raw:
            for step in steps:
                if isinstance(step, int):
                    expected = stream.read(step)
                    assert joined.read(step) == expected
                    # Unbuffered, a read may stop at the end of a part.
                    assert expected.startswith(raw.read(len(expected)))
                    raw.seek(stream.tell())
                else:
                    assert moved(joined, *step) == moved(stream, *step) == moved(raw, *step)
                assert joined.tell() == stream.tell() == raw.tell()


def test_a_thousand_parts(tmp_path: Path) -> None:
    content = os.urandom(5000)
    landed = cut(content, tmp_path, *range(5, 5000, 5))
    assert len(landed.parts) == 1000
    before = open_files()
    with landed.open() as stream:
        assert stream.read() == content
        stream.seek(2497)
        assert stream.read(10) == content[2497:2507]
        assert open_files() == before + 1, "one part is open at a time"
    assert open_files() == before


def test_too_few_bytes_are_no_zip(tmp_path: Path) -> None:
    with cut(b"short", tmp_path, 2).open() as stream, pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(stream)


class TestPartsThatChange:
    @pytest.fixture
    def landed(self, tmp_path: Path) -> LandedZip:
        return cut(bytes(range(100)), tmp_path, 30, 60)

    def test_one_that_is_gone_before(self, landed: LandedZip) -> None:
        landed.parts[1].unlink()
        with pytest.raises(FileNotFoundError), landed.open():
            pass
        gc.collect()  # an object that was never complete is closed too

    def test_one_that_goes_meanwhile(self, landed: LandedZip) -> None:
        with landed.open() as stream:
            assert stream.read(10) == bytes(range(10))
            landed.parts[1].unlink()
            with pytest.raises(FileNotFoundError):
                stream.read(50)

    def test_one_that_becomes_shorter(self, landed: LandedZip) -> None:
        with landed.open() as stream:
            os.truncate(landed.parts[1], 10)
            with pytest.raises(OSError, match="became shorter"):
                stream.read()

    def test_one_that_grows_is_read_as_it_was(self, landed: LandedZip) -> None:
        with landed.open() as stream:
            landed.parts[1].write_bytes(landed.parts[1].read_bytes() + b"more")
            assert stream.read() == bytes(range(100))


class TestLook:
    def test_it_is_size_time_and_inode_of_each_part(self, tmp_path: Path) -> None:
        landed = cut(b"abc", tmp_path, 1)
        stats = [part.stat() for part in landed.parts]
        assert landed.fingerprint() == [n for stat in stats for n in (stat.st_size, stat.st_mtime_ns, stat.st_ino)]
        assert landed.size_bytes == 3

    def test_a_part_that_is_gone(self, tmp_path: Path) -> None:
        landed = cut(b"abc", tmp_path, 1)
        landed.parts[0].unlink()
        assert landed.fingerprint()[:3] == list(GONE)
        assert landed.size_bytes == 2
