import struct
import tracemalloc
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.landing.methods import MAX_DICTIONARY_BYTES
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import PIECE_BYTES, check_readable, entries, opened, unpacked
from urgency_dagster.errors import Rejected
from urgency_dagster_tests.calls.extracting import CENTRAL, LOCAL, patched
from urgency_dagster_tests.conftest import Builder

BZIP2, LZMA = zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
DICTIONARY = 30 + 5 + 5
"""The place of the dictionary size in the local header of an LZMA member with a name of 5 bytes."""


@pytest.fixture
def pieces_of(tmp_path: Any) -> Any:
    """Unpacks the first member of a ZIP; returns its pieces."""

    def unpack(content: bytes) -> list[bytes]:
        file = tmp_path / "a.zip"
        file.write_bytes(content)
        with opened(LandedZip.whole(file)) as archive:
            entry = next(entries(archive))
            check_readable(entry)
            return list(unpacked(archive, entry, archive.start_dir))

    return unpack


@pytest.mark.parametrize("method", [BZIP2, LZMA])
@given(content=st.binary(max_size=300) | st.integers(0, 3 << 20).map(bytes))
def test_content_of_any_length_is_unpacked(
    build: Builder, tmp_path_factory: pytest.TempPathFactory, method: int, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("zip") / "a.zip"
    file.write_bytes(build.zipped({"a.wav": content}, method))
    with opened(LandedZip.whole(file)) as archive:
        pieces = list(unpacked(archive, next(entries(archive)), archive.start_dir))
    assert b"".join(pieces) == content
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)


@pytest.mark.parametrize("method", [BZIP2, LZMA])
def test_a_bomb_is_unpacked_in_small_pieces(build: Builder, tmp_path: Any, method: int) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(build.zipped({"a.wav": bytes(64 << 20)}, method))
    with opened(LandedZip.whole(file)) as archive:
        pieces = unpacked(archive, next(entries(archive)), archive.start_dir)
        tracemalloc.start()
        assert len(next(pieces)) <= PIECE_BYTES
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 16 << 20  # the dictionary of LZMA has 8 MiB


@pytest.mark.parametrize("method", [BZIP2, LZMA])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:60] + bytes(byte ^ 0x5A for byte in content[60:68]) + content[68:],
        lambda content: patched(content, 16, b"\1\2\3\4"),  # the checksum
        lambda content: patched(content, 24, struct.pack("<I", 2001)),  # the size
        lambda content: patched(content, 24, struct.pack("<I", 1999)),
        lambda content: patched(patched(content, 20, b"\4\0\0\0"), 18, b"\4\0\0\0", LOCAL),  # the packed size
    ],
    ids=["content", "checksum", "longer", "shorter", "cut"],
)
def test_a_damaged_member_is_rejected(build: Builder, pieces_of: Any, method: int, damage: Any) -> None:
    content = build.zipped({"a.wav": bytes(range(250)) * 8}, method)
    with pytest.raises(Rejected, match="corrupt"):
        pieces_of(damage(content))


def test_a_cut_header_of_lzma_is_named(build: Builder, pieces_of: Any) -> None:
    content = build.zipped({"a.wav": bytes(range(250)) * 8}, LZMA)
    with pytest.raises(Rejected, match="its LZMA header is cut off"):
        pieces_of(patched(patched(content, 20, b"\4\0\0\0"), 18, b"\4\0\0\0", LOCAL))


def test_a_dictionary_is_no_larger_than_the_content(build: Builder, pieces_of: Any) -> None:
    """The size in the header can be 4 GB, which the decoder would reserve."""
    content = patched(build.zipped({"a.wav": b"text " * 99}, LZMA), DICTIONARY, b"\xff" * 4, LOCAL)
    assert b"".join(pieces_of(content)) == b"text " * 99


def test_a_dictionary_that_takes_too_much_memory_is_refused(build: Builder, pieces_of: Any) -> None:
    content = patched(build.zipped({"a.wav": b"text"}, LZMA), DICTIONARY, b"\xff" * 4, LOCAL)
    content = patched(content, 24, struct.pack("<I", MAX_DICTIONARY_BYTES + 1), CENTRAL)
    with pytest.raises(Rejected, match="too_large: its LZMA dictionary"):
        pieces_of(content)
