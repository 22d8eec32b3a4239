import zipfile
from pathlib import Path

import pytest

from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.reader import ZipReader, zip_members
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster_tests.conftest import Builder

LIMITS = ExtractionConfig()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def contents(file: Path, config: ExtractionConfig = LIMITS) -> dict[str, bytes | str]:
    """The content of each member, or the reason why it has none."""
    source = LandedZip.whole(file)
    found: dict[str, bytes | str] = {}
    with ZipReader.open(source, config) as reader:
        for member in zip_members(source, config):
            try:
                found[member.shown] = member.reason or reader.read(member)
            except Rejected as rejected:
                found[member.shown] = rejected.reason
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_file_type_is_read_with_each_method(file: Path, build: Builder, method: int) -> None:
    build.zip(file, {"x/a.wav": b"1", "b.json": b"22", "c": b"", "x/": b"", ".DS_Store": b""}, method)
    assert contents(file) == {"x/a.wav": b"1", "b.json": b"22", "c": b""}


def test_unsafe_names_are_rejected_before_they_are_read(file: Path, build: Builder) -> None:
    build.zip(file, {"../a.wav": b"1", "b.wav": b"2"})
    assert contents(file) == {"../a.wav": RejectReason.UNSAFE_NAME, "b.wav": b"2"}


def test_the_limits_are_those_of_the_extraction(file: Path, build: Builder) -> None:
    build.zip(file, {"bomb.wav": bytes(10 << 20), "long.wav": bytes(range(256)) * 40, "b.wav": b"2"})
    assert contents(file, LIMITS.changed(member_bytes=10_000)) == {
        "bomb.wav": RejectReason.TOO_LARGE,
        "long.wav": RejectReason.TOO_LARGE,
        "b.wav": b"2",
    }
    with pytest.raises(ArchiveError, match="3 members"):
        zip_members(LandedZip.whole(file), LIMITS.changed(members=2))


def test_a_smaller_limit_holds_for_one_read(file: Path, build: Builder) -> None:
    source = LandedZip.whole(build.zip(file, {"a.json": b"12345"}))
    (member,) = zip_members(source, LIMITS)
    with ZipReader.open(source, LIMITS) as reader:
        assert reader.read(member, 5) == b"12345"
        with pytest.raises(Rejected, match=RejectReason.TOO_LARGE):
            reader.read(member, 4)


def test_a_zip_that_lost_members_since_it_was_listed_is_noticed(file: Path, build: Builder) -> None:
    source = LandedZip.whole(build.zip(file, {"a.wav": b"1", "b.wav": b"2"}))
    *_, last = zip_members(source, LIMITS)
    build.zip(file, {"a.wav": b"1"})
    with ZipReader.open(source, LIMITS) as reader, pytest.raises(Rejected, match="changed while it was read"):
        reader.read(last)
