import io
import tarfile
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.landing.tars import tar_members
from urgency_dagster_tests.calls.test_fuzz import mutated, mutations

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
LONG = "088.위급상황 음성/3.개방데이터/1.데이터/Training/1.원천데이터/" + "가" * 30 + "/TS_광주_구급.zip.part1073741824"


def tar(members: dict[str, bytes], format_: int = tarfile.GNU_FORMAT, encoding: str = "utf-8") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format_, encoding=encoding) as archive:
        folder = tarfile.TarInfo("a folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def listed(content: bytes) -> dict[str, bytes]:
    members = tar_members(io.BytesIO(content), len(content))
    return {member.name: content[member.start :][: member.size] for member in members}


@pytest.mark.parametrize("format_", FORMATS)
def test_members_are_those_of_tarfile(format_: int) -> None:
    members = {"a/TS_x.zip": b"1" * 700, "b.txt": b"", "c": b"2" * 512}
    assert listed(tar(members, format_)) == members


@pytest.mark.parametrize("format_", FORMATS[1:])
def test_a_long_korean_path(format_: int) -> None:
    assert listed(tar({LONG: b"1", "b": b"2"}, format_)) == {LONG: b"1", "b": b"2"}


def test_names_in_an_old_code_page_and_decomposed_ones_are_read() -> None:
    assert listed(tar({"TS_광주.zip": b"1"}, encoding="cp949")) == {"TS_광주.zip": b"1"}
    assert listed(tar({unicodedata.normalize("NFD", "TS_광주.zip"): b"1"})) == {"TS_광주.zip": b"1"}


def test_links_are_no_members() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"TS_{kind.decode()}.zip")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert listed(stream.getvalue()) == {}


def test_a_negative_size_is_damage() -> None:
    """Source: CVE-2025-8194; `tarfile` followed it backwards without an end."""
    info = tarfile.TarInfo("a")
    info.size = -512
    with pytest.raises(tarfile.TarError, match="a member ends after the file"):
        listed(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_a_member_that_is_cut_is_damage() -> None:
    with pytest.raises(tarfile.TarError, match="a member ends after the file"):
        listed(tar({"TS_x.zip": b"1" * 2048})[:2000])


def test_one_empty_block_inside_is_damage() -> None:
    """Two of them end a tar. `tarfile` would end the list here, without the members behind."""
    first, second = tarfile.TarInfo("a").tobuf(), tarfile.TarInfo("b").tobuf()
    assert [*listed(first + second + bytes(1024))] == ["a", "b"]
    with pytest.raises(tarfile.TarError, match="an empty block inside"):
        listed(first + bytes(512) + second + bytes(1024))


def test_the_size_in_an_extended_header_counts() -> None:
    """A member of 8 GiB or more has its size there alone."""
    info = tarfile.TarInfo("a/TS_x.zip")
    info.pax_headers = {"size": "700"}
    content = info.tobuf(tarfile.PAX_FORMAT) + b"1" * 700 + bytes(324)
    assert listed(content + tarfile.TarInfo("b").tobuf() + bytes(1024)) == {"a/TS_x.zip": b"1" * 700, "b": b""}


def test_too_many_members_are_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urgency_dagster.calls.landing.tars.MAX_MEMBERS", 2)
    with pytest.raises(tarfile.TarError, match="too many members"):
        listed(tar({f"{n}.zip": b"" for n in range(9)}))


def test_a_name_of_any_length_is_not_read_into_memory() -> None:
    info = tarfile.TarInfo("a")
    info.size, info.type = 1 << 20, tarfile.GNUTYPE_LONGNAME
    with pytest.raises(tarfile.TarError, match="too long"):
        listed(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 21))


@given(changes=mutations(), format_=st.sampled_from(FORMATS))
@settings(max_examples=300)
def test_any_damage_is_a_tar_error_or_a_list_inside_the_file(changes: Any, format_: int) -> None:
    content = mutated(tar({"a/TS_x.zip": b"1" * 700, "b" * 90: b"2" * 9}, format_), changes)
    started = time.monotonic()
    try:
        found = list(tar_members(io.BytesIO(content), len(content)))
    except tarfile.TarError:
        found = []
    assert all(member.start + member.size <= len(content) for member in found)
    assert time.monotonic() - started < 5
