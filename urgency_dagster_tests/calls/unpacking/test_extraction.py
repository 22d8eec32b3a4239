import contextlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.landing.names import decoded
from urgency_dagster.calls.landing.pairs import ArchivePair, scan_landing
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.tables import MEMBERS, RejectReason
from urgency_dagster.calls.unpacking import extraction
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import (
    CHUNK_BYTES,
    CHUNK_MEMBERS,
    extract_pair,
    keep_only,
)
from urgency_dagster.calls.unpacking.members import is_litter
from urgency_dagster.calls.workers import ordered_map
from urgency_dagster.errors import ArchiveError, BusyError, UrgencyError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress
from urgency_dagster_tests.calls.extracting import ARCHIVE, LIMITS, NAME, Unpacking, contents, patched
from urgency_dagster_tests.conftest import Builder

MANY = {f"{n:05}_1.wav": b"%d" % n for n in range(2 * CHUNK_MEMBERS + 9)}
"""Members enough for three chunks."""

TWO = {"a.wav": b"a" * 999, "x/b.wav": b"b" * 999}


@pytest.fixture
def unpack(paths: StoragePaths, build: Builder) -> Unpacking:
    return Unpacking(paths, build)


def descendants() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


class TestWhatIsKept:
    def test_both_sides_lie_below_the_archive_with_their_content(self, paths: StoragePaths, build: Builder) -> None:
        audio, labels = {"a_1.wav": b"audio", "deep/er/b_1.wav": b"more"}, {"a_1.json": b"{}"}
        pair = build.pair(paths.landing_calls, ARCHIVE, audio, labels)
        counts = extract_pair(pair, paths.archive(ARCHIVE), LIMITS)
        files = paths.archive(ARCHIVE)
        assert contents(files.audio) == audio
        assert contents(files.labels) == labels
        assert counts == {
            "audio_files": 2,
            "label_files": 1,
            "rejected_members": 0,
            "bytes": 11,
            "extracted": 3,
            "reused": 0,
        }

    def test_each_member_is_accounted_for(self, unpack: Unpacking, build: Builder) -> None:
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

    def test_the_rows_are_in_the_order_of_the_zips_audio_first(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped({"b.wav": b"", "a.wav": b""}), labels=build.zipped({"z.json": b"", "x.txt": b""}))
        rows = [(row["kind"], row["member"]) for row in unpack.rows()]
        assert rows == [("audio", "b.wav"), ("audio", "a.wav"), ("label", "z.json"), ("label", "x.txt")]

    def test_names_that_no_disk_could_hold_are_accounted_for(self, unpack: Unpacking, build: Builder) -> None:
        rows = unpack(build.zipped({"../a.wav": b"1", "x/a.txt": b"2", "a.wav": b"3", "A.wav": b"4", NAME: b"5"}))
        assert unpack.written() == {NAME: b"5"}
        assert {name: row["reason"] for name, row in rows.items()} == {
            "../a.wav": RejectReason.UNSAFE_NAME,
            "x/a.txt": RejectReason.UNKNOWN_TYPE,
            "a.wav": RejectReason.DUPLICATE_NAME,
            "A.wav": RejectReason.DUPLICATE_NAME,
            NAME: None,
        }
        assert unpack.counts["rejected_members"] == 4
        assert all((row["path"] is None) == bool(row["detail"]) for row in rows.values())

    @pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
    def test_a_korean_name_is_written_composed(self, unpack: Unpacking, build: Builder, encoding: str) -> None:
        unpack(build.renamed("광주\\구급_1.wav".encode(encoding)))
        assert unpack.written() == {"광주/구급_1.wav": b"content"}
        unpack(build.zipped({unicodedata.normalize("NFD", "광주_1.wav"): b"1"}))
        assert unpack.written() == {unicodedata.normalize("NFC", "광주_1.wav"): b"1"}

    def test_what_is_no_data_is_passed_over_in_silence(self, unpack: Unpacking, build: Builder) -> None:
        litter = ["Wave/", "__MACOSX/a_1.wav", "x/__MACOSX/._a_1.wav", "._a_1.wav", "x/._b.wav", ".DS_Store"]
        rows = unpack(build.zipped({**dict.fromkeys(litter, b""), NAME: b"1"}))
        assert list(rows) == [NAME]
        assert unpack.written() == {NAME: b"1"}
        assert unpack.counts["rejected_members"] == 0

    def test_the_same_archive_gives_the_same_account(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"b_1.wav": b"1", "a_1.wav": b"2", "x.txt": b"3"})
        unpack(archive)
        first = unpack.files.members.read_bytes()
        unpack(archive)
        assert unpack.files.members.read_bytes() == first

    def test_an_empty_archive_is_no_error(self, unpack: Unpacking, build: Builder) -> None:
        assert unpack(build.zipped({})) == {}
        assert unpack.left() == {"Wave", "Label", "members.parquet"}

    def test_a_zip_in_parts_is_unpacked_like_a_whole_one(self, paths: StoragePaths, build: Builder) -> None:
        archive = build.zipped({f"{n}.wav": bytes([n]) * n for n in range(50)})
        paths.landing_calls.mkdir(parents=True)
        parts = []
        for start in range(0, len(archive), 1000):
            parts.append(paths.landing_calls / f"TS_x.zip.part{start}")
            parts[-1].write_bytes(archive[start : start + 1000])
        labels = LandedZip.whole(build.zip(paths.landing_calls / "TL_x.zip", {}))
        extract_pair(ArchivePair(ARCHIVE, LandedZip("TS_x.zip", tuple(parts)), labels), paths.archive(ARCHIVE), LIMITS)
        assert contents(paths.archive(ARCHIVE).audio) == {f"{n}.wav": bytes([n]) * n for n in range(50)}

    def test_progress_ends_with_all_members_of_both_zips(self, unpack: Unpacking, build: Builder) -> None:
        seen = []
        labels = build.zipped({"a.json": b"{}", "x.txt": b"", "._a": b""})
        unpack(build.zipped(MANY), labels=labels, progress=lambda done, total, **_: seen.append((done, total)))
        total = len(MANY) + 2
        assert seen == [(done, total) for done in (CHUNK_MEMBERS, 2 * CHUNK_MEMBERS, len(MANY), total)]


class TestWorkers:
    @pytest.mark.slow
    def test_the_result_does_not_depend_on_their_number(self, unpack: Unpacking, build: Builder) -> None:
        audio = build.zipped({**MANY, "../x.wav": b"", "b/a.txt": b"2"})
        labels = build.zipped({f"{n}.json": b"{}" * n for n in range(99)})
        results = []
        for workers in (1, 2):
            unpack(audio, ExtractionConfig(workers=workers), labels)
            results.append((contents(unpack.files.folder), unpack.made()))
            shutil.rmtree(unpack.files.folder)
        assert results[0] == results[1]
        assert results[0][1] == (len(MANY) + 99, 0)

    @pytest.mark.slow
    def test_several_of_them_share_the_work(self, unpack: Unpacking, build: Builder) -> None:
        list(ordered_map(abs, [1, 2], 2))  # the fork server is there before
        assert self.started(unpack, build.zipped(MANY), ExtractionConfig(workers=2)) >= 2

    def started(self, unpack: Unpacking, archive: bytes, config: ExtractionConfig = LIMITS) -> int:
        """The processes that come up meanwhile."""
        before, seen = descendants(), set()
        unpack(archive, config, progress=lambda done, total, **_: seen.update(descendants()))
        return len(seen - before)

    def test_little_work_starts_no_process(self, unpack: Unpacking, build: Builder) -> None:
        assert self.started(unpack, build.zipped(MANY)) == 0

    @pytest.mark.slow
    @pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
    @pytest.mark.parametrize("little", ["MAX_MEMBERS_ALONE", "MAX_BYTES_ALONE"])
    def test_much_work_starts_as_many_as_there_are_cores(
        self, unpack: Unpacking, build: Builder, monkeypatch: pytest.MonkeyPatch, little: str
    ) -> None:
        monkeypatch.setattr(extraction, little, 1000)
        list(ordered_map(abs, [1, 2], 2))
        assert self.started(unpack, build.zipped(MANY)) >= 2

    def test_large_members_are_shared_out_one_by_one(self, unpack: Unpacking, build: Builder) -> None:
        seen = []
        archive = build.zipped({f"{n}.wav": bytes(CHUNK_BYTES // 2) for n in range(5)}, zipfile.ZIP_STORED)
        unpack(archive, progress=lambda done, total, **_: seen.append(done))
        assert seen == [2, 4, 5]

    @pytest.mark.slow
    def test_an_error_ends_all_of_them(self, unpack: Unpacking, build: Builder) -> None:
        list(ordered_map(abs, [1, 2], 2))  # the fork server is there before
        before = descendants()
        with pytest.raises(ArchiveError, match="total_bytes") as caught:
            unpack(build.zipped(MANY), ExtractionConfig(total_bytes=2000, workers=2))
        assert descendants() == before
        assert unpack.left() == set()
        assert caught.value.__traceback__ is not None, "what it refers to was there until here"


class TestLimits:
    def test_too_many_bytes_refuse_the_archive(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"a_1.wav": b"1" * 600, "b_1.wav": b"1" * 600})
        unpack(archive, ExtractionConfig(total_bytes=1200))
        with pytest.raises(ArchiveError, match=r"TS_x\.zip unpacks to more than 1199 bytes.*total_bytes"):
            unpack(archive, ExtractionConfig(total_bytes=1199))

    def test_no_more_is_unpacked_when_the_limit_is_passed(self, unpack: Unpacking, build: Builder) -> None:
        seen = []
        with pytest.raises(ArchiveError):
            unpack(
                build.zipped(MANY),
                ExtractionConfig(total_bytes=2000),
                progress=lambda done, total, **_: seen.append((done, total)),
            )
        assert seen == [(CHUNK_MEMBERS, len(MANY))]

    def test_each_zip_has_its_own_limit(self, unpack: Unpacking, build: Builder) -> None:
        audio, labels = build.zipped({"a.wav": b"1" * 600}), build.zipped({"a.json": b"1" * 700})
        unpack(audio, ExtractionConfig(total_bytes=700), labels)
        with pytest.raises(ArchiveError, match=r"TL_x\.zip unpacks to more than 699 bytes"):
            unpack(audio, ExtractionConfig(total_bytes=699), labels)

    def test_reused_members_count(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"a_1.wav": b"1" * 600, "b_1.wav": b"1" * 600})
        unpack(archive)
        with pytest.raises(ArchiveError, match="total_bytes"):
            unpack(archive, ExtractionConfig(total_bytes=1199))

    def test_rejected_members_do_not_count(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"a_1.wav": b"1" * 600, "b_1.wav": b"1" * 1200})
        unpack(archive, ExtractionConfig(total_bytes=600, member_bytes=600))
        assert unpack.counts["bytes"] == 600

    def test_too_many_members_refuse_the_archive(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"a_1.wav": b"1", "b_1.wav": b"1", "._b": b""})
        unpack(archive, ExtractionConfig(members=2))
        with pytest.raises(ArchiveError, match="has 2 members; expected at most 1"):
            unpack(archive, ExtractionConfig(members=1))

    def test_a_refused_archive_leaves_the_former_one_without_its_account(
        self, unpack: Unpacking, build: Builder
    ) -> None:
        unpack(build.zipped({NAME: b"old"}), labels=build.zipped({"a.json": b"old"}))
        many = build.zipped({f"{n}.wav": b"1" * 20 for n in range(9)})
        for limits in (ExtractionConfig(total_bytes=100), ExtractionConfig(members=8)):
            with pytest.raises(ArchiveError):
                unpack(many, limits)
            assert unpack.written() == {NAME: b"old"}
            assert contents(unpack.files.labels) == {"a.json": b"old"}
            assert unpack.left() == {"Wave", "Label"}


class TestDisk:
    def test_too_little_room_is_seen_before_anything_is_written(self, unpack: Unpacking, build: Builder) -> None:
        free = shutil.disk_usage(unpack.files.folder.parent.parent).free
        reserve = free * 2
        with pytest.raises(ArchiveError, match=rf"takes 999 bytes and {reserve} in reserve, but \d+ are free"):
            unpack(build.zipped({NAME: b"1" * 999}), ExtractionConfig(reserve_bytes=reserve))
        assert unpack.left() == set()

    def test_what_is_there_needs_no_room(self, unpack: Unpacking, build: Builder) -> None:
        members = {NAME: b"1" * 999, "b_1.wav": b"2" * 99}
        unpack(build.zipped(members))
        reserve = 1 << 60
        with pytest.raises(ArchiveError, match="takes 0 bytes"):
            unpack(build.zipped(members), ExtractionConfig(reserve_bytes=reserve))
        with pytest.raises(ArchiveError, match="takes 98 bytes"):
            unpack(build.zipped({**members, "b_1.wav": b"2" * 98}), ExtractionConfig(reserve_bytes=reserve))

    def test_what_an_earlier_attempt_left_needs_no_room(self, unpack: Unpacking, build: Builder) -> None:
        members = {NAME: b"1" * 999}
        unpack(build.zipped(members))
        unpack.files.unpacking.mkdir()
        unpack.files.audio.rename(unpack.files.unpacking / "Wave")
        with pytest.raises(ArchiveError, match="takes 0 bytes"):
            unpack(build.zipped(members), ExtractionConfig(reserve_bytes=1 << 60))

    def test_a_header_that_claims_much_needs_no_more_than_its_limit(self, unpack: Unpacking, build: Builder) -> None:
        archive = patched(build.zipped({NAME: b"1", "b.txt": b"2" * 99}), 24, b"\0\0\0\xff")
        limits = ExtractionConfig(reserve_bytes=1 << 60, member_bytes=500)
        with pytest.raises(ArchiveError, match="takes 500 bytes"):
            unpack(archive, limits)
        unpack(archive, ExtractionConfig(member_bytes=500))
        assert unpack.rows()[0]["reason"] == RejectReason.CORRUPT

    def test_a_disk_without_room_keeps_what_was_done(self, unpack: Unpacking, build: Builder) -> None:
        archive = build.zipped({"a.wav": b"1" * 999, "b.wav": b"2" * 9999, "c.wav": b"3"})
        unpack(build.zipped({"old.wav": b"1"}))
        with file_size_limit(5000), pytest.raises(ArchiveError, match="no room is left on the disk") as caught:
            unpack(archive)
        assert isinstance(caught.value.__cause__, OSError)
        assert unpack.written() == {"old.wav": b"1"}
        assert not unpack.files.members.exists()
        unpack(archive)
        assert unpack.made() == (2, 1)
        assert unpack.written() == {"a.wav": b"1" * 999, "b.wav": b"2" * 9999, "c.wav": b"3"}
        assert unpack.left() == {"Wave", "Label", "members.parquet"}

    @pytest.mark.slow
    def test_a_full_disk(self, paths: StoragePaths, build: Builder, tmp_path: Path) -> None:
        """On a disk of 2 MiB in memory, where a thousand tiny files take more than their bytes."""
        pair = build.pair(paths.landing_calls, ARCHIVE, {f"{n}.wav": b"1" for n in range(1000)}, {})
        script = tmp_path / "fill.py"
        script.write_text(FILL)
        mounted = (
            f"mount -t tmpfs -o size=2m none {tmp_path / 'disk'} && exec {sys.executable} {script} {tmp_path / 'disk'}"
        )
        (tmp_path / "disk").mkdir()
        files = [str(part) for side in (pair.audio, pair.labels) for part in side.parts]
        command = ["unshare", "-rm", "sh", "-c", " ".join([mounted, *files])]
        if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
            pytest.skip("no disk can be mounted here")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["no room is left on the disk", "28", "True", "True"]


FILL = """
import sys
from pathlib import Path
from urgency_dagster.calls.landing.pairs import ArchivePair, scan_landing
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths

if __name__ == "__main__":
    files = StoragePaths(Path(sys.argv[1])).archive("T_x")
    pair = ArchivePair("T_x", *(LandedZip.whole(Path(name)) for name in sys.argv[2:]))
    try:
        extract_pair(pair, files, ExtractionConfig(reserve_bytes=0, workers=2))
    except ArchiveError as error:
        kept = len(list(files.unpacking.rglob("*.wav")))
        print(error.args[0], error.__cause__.errno, kept > 100, not files.members.exists(), sep="\\n")
"""


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file may become larger, as on a disk that is full for this user."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestUnreadable:
    def test_an_archive_that_cannot_be_read_leaves_no_account(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped({NAME: b"old"}))
        damaged = patched(build.zipped({"a_1.json": b"{}"}), 0, b"\xff\xff")
        with pytest.raises(ArchiveError, match=r"TL_x\.zip cannot be read as a ZIP"):
            extract_pair(unpack.pair(build.zipped({NAME: b"new"}), damaged), unpack.files, LIMITS)
        assert unpack.left() == {"Wave", "Label"}, "neither the account nor a temporary folder"
        assert unpack.written() == {NAME: b"old"}, "both folders are replaced, or none"

    def test_the_error_says_what_to_do(self, unpack: Unpacking) -> None:
        with pytest.raises(ArchiveError, match="copy it again"):
            unpack(b"no zip")

    def test_a_zip_that_is_gone_is_an_error_of_ours(self, unpack: Unpacking, build: Builder) -> None:
        pair = unpack.pair(build.zipped({}))
        pair.labels.parts[0].unlink()
        with pytest.raises(ArchiveError, match="cannot be read or written") as caught:
            extract_pair(pair, unpack.files, LIMITS)
        assert isinstance(caught.value.__cause__, FileNotFoundError)


class TestChanges:
    """The ZIP becomes another while it is unpacked."""

    def changing(self, unpack: Unpacking, change: Progress) -> None:
        with pytest.raises(ArchiveError, match=r"changed while they were read.*when they stay as they are"):
            extract_pair(unpack.changed, unpack.files, LIMITS, progress=change)
        assert not unpack.files.members.exists()

    @pytest.mark.parametrize("kind", ["audio", "labels"])
    def test_a_zip_that_is_touched(self, unpack: Unpacking, build: Builder, kind: str) -> None:
        unpack(build.zipped({"old.wav": b"1"}))
        unpack.changed = unpack.pair(build.zipped(MANY))
        self.changing(unpack, lambda done, total, **_: os.utime(getattr(unpack.changed, kind).parts[0], (1, 1)))
        assert unpack.written() == {"old.wav": b"1"}
        extract_pair(unpack.changed, unpack.files, LIMITS)
        assert unpack.written() == MANY

    def test_what_was_whole_is_not_unpacked_again(self, unpack: Unpacking, build: Builder) -> None:
        unpack.changed = unpack.pair(build.zipped(MANY))
        self.changing(unpack, lambda done, total, **_: os.utime(unpack.changed.audio.parts[0], (1, 1)))
        counts = extract_pair(unpack.changed, unpack.files, LIMITS)
        assert (counts["extracted"], counts["reused"]) == (0, len(MANY))
        assert unpack.left() == {"Wave", "Label", "members.parquet"}

    @pytest.mark.parametrize("kind", ["audio", "labels"])
    def test_a_zip_that_is_cut_short(self, unpack: Unpacking, build: Builder, kind: str) -> None:
        """Its members, or all of it, look damaged then, but the change is at fault."""
        unpack.changed = unpack.pair(build.zipped(MANY), build.zipped({"a.json": b"{}" * 999}))
        self.changing(unpack, lambda done, total, **_: os.truncate(getattr(unpack.changed, kind).parts[0], 99))

    @pytest.mark.parametrize("kind", ["audio", "labels"])
    def test_a_zip_that_vanishes(self, unpack: Unpacking, build: Builder, kind: str) -> None:
        unpack.changed = unpack.pair(build.zipped(MANY), build.zipped({"a.json": b"{}"}))
        self.changing(unpack, lambda done, total, **_: getattr(unpack.changed, kind).parts[0].unlink(missing_ok=True))

    def test_members_of_an_earlier_attempt_that_the_zip_has_no_more(self, unpack: Unpacking, build: Builder) -> None:
        unpack.changed = unpack.pair(build.zipped({"x.wav": b"1", "y.wav/b.wav": b"2", NAME: b"3"}))
        self.changing(unpack, lambda done, total, **_: os.utime(unpack.changed.audio.parts[0], (1, 1)))
        later = {"x.wav/b.wav": b"1", "y.wav": b"2", NAME: b"3"}
        unpack(build.zipped(later))
        assert (unpack.written(), unpack.made()) == (later, (2, 1))


class TestEarlierAttempts:
    """What a killed call may leave behind; the next one ends as if nothing had been there."""

    def leave(self, unpack: Unpacking, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (unpack.files.unpacking / name).parent.mkdir(parents=True, exist_ok=True)
            (unpack.files.unpacking / name).write_bytes(content)

    @pytest.mark.parametrize(
        ("left", "made"),
        [
            ({"Wave/a.wav": b"a" * 999}, (1, 1)),
            ({"Wave/a.wav": b"a" * 500}, (2, 0)),
            ({"Wave/a.wav": b""}, (2, 0)),
            ({"Wave/a.wav": b"a" * 998 + b"x"}, (2, 0)),
            ({"Wave/a.wav": b"a" * 999, "Wave/x/b.wav": b"b" * 999}, (0, 2)),
            ({"Wave/stranger.wav": b"1", "Wave/y/z": b"1", "Label/a.wav": b"1"}, (2, 0)),
            ({"members.parquet": b"half", "Wave.former/a.wav": b"1", "Label.former/b/c": b"2"}, (2, 0)),
            ({"Wave/a.wav/b": b"1", "Wave/x": b"2"}, (2, 0)),
        ],
    )
    def test_what_is_whole_is_taken_and_the_rest_goes(
        self, unpack: Unpacking, build: Builder, left: dict[str, Any], made: tuple[int, ...]
    ) -> None:
        self.leave(unpack, left)
        unpack(build.zipped(TWO))
        assert (unpack.made(), unpack.written()) == (made, TWO)
        assert contents(unpack.files.labels) == {}
        assert unpack.left() == {"Wave", "Label", "members.parquet"}

    def test_a_half_link_to_the_present_folder_is_not_written_into(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped({"a.wav": b"old", "b.wav": b"2"}))
        (unpack.files.unpacking / "Wave").mkdir(parents=True)
        os.link(unpack.files.audio / "a.wav", unpack.files.unpacking / "Wave" / "a.wav")
        with pytest.raises(ArchiveError):
            unpack(build.zipped({"a.wav": b"new", "b.wav": b"2" * 9999}), ExtractionConfig(total_bytes=99))
        assert unpack.written() == {"a.wav": b"old", "b.wav": b"2"}

    def test_a_rejected_member_that_was_half_written_is_not_left(self, unpack: Unpacking, build: Builder) -> None:
        self.leave(unpack, {"Wave/a.wav": b"a" * 20})
        unpack(build.zipped(TWO), ExtractionConfig(member_bytes=10))
        assert unpack.written() == {}

    @pytest.mark.parametrize("there", ["file", "dangling link"])
    def test_what_is_no_folder_makes_room_for_one(self, unpack: Unpacking, build: Builder, there: str) -> None:
        unpack.files.folder.mkdir(parents=True)
        if there == "file":
            unpack.files.audio.write_bytes(b"1")
        else:
            unpack.files.audio.symlink_to(unpack.files.folder / "nowhere")
        unpack(build.zipped(TWO))
        assert (unpack.made(), unpack.written()) == ((2, 0), TWO)
        assert unpack.left() == {"Wave", "Label", "members.parquet"}

    def test_only_the_names_are_kept(self, tmp_path: Path) -> None:
        for name in ("a", "b/c", "b/d", "e/f/g", "h/i"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"1")
        keep_only(tmp_path, {"a", "b/c", "e/f/g", "c", "f/g"})
        assert set(contents(tmp_path)) == {"a", "b/c", "e/f/g"}


class TestTwoAtOnce:
    def test_the_second_is_refused_at_once_and_the_first_goes_on(self, unpack: Unpacking, build: Builder) -> None:
        pair = unpack.pair(build.zipped({NAME: b"1"}))
        refused = []

        def second(done: int, total: int, **figures: float) -> None:
            with pytest.raises(BusyError, match="another process is unpacking this archive"):
                extract_pair(pair, unpack.files, LIMITS)
            refused.append(done)

        extract_pair(pair, unpack.files, LIMITS, progress=second)
        assert refused == [1]
        assert unpack.written() == {NAME: b"1"}

    def test_a_busy_archive_keeps_its_account(self, unpack: Unpacking, build: Builder) -> None:
        unpack(build.zipped({NAME: b"1"}))
        before = contents(unpack.files.folder)
        began = time.monotonic()
        with FileLock(unpack.files.lock), pytest.raises(BusyError):
            unpack(build.zipped({NAME: b"2"}))
        assert time.monotonic() - began < 5
        assert contents(unpack.files.folder) == before

    def test_another_archive_is_not_held_up(self, unpack: Unpacking, build: Builder, paths: StoragePaths) -> None:
        other = paths.archive("T_y").lock
        other.parent.mkdir(parents=True)
        with FileLock(other):
            unpack(build.zipped({NAME: b"1"}))
        assert unpack.written() == {NAME: b"1"}

    def test_the_lock_is_let_go_of_after_an_error(self, unpack: Unpacking, build: Builder) -> None:
        with pytest.raises(ArchiveError):
            unpack(b"no zip")
        unpack(build.zipped({NAME: b"1"}))
        assert unpack.written() == {NAME: b"1"}


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
def test_no_name_leaves_the_folder_or_is_forgotten(build: Builder, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = StoragePaths(Path(folder, "storage"))
        pair = build.pair(paths.landing_calls, ARCHIVE, [(name, b"1") for name in names], {})
        before = tree(Path(folder))
        extract_pair(pair, paths.archive(ARCHIVE), LIMITS)
        rows = pq.read_table(paths.archive(ARCHIVE).members).to_pylist()
        wave = Path("storage/calls", ARCHIVE, "Wave")
        kept = [str(wave / row["path"]) for row in rows if row["reason"] is None]
        others = {f"storage/calls/{ARCHIVE}/members.parquet", f"storage/manifests/locks/{ARCHIVE}"}
        assert tree(Path(folder)) - before == set(kept) | others
        assert len(kept) == len(set(kept))
        stored = [name.partition("\0")[0] for name in names]  # what `zipfile` writes of a name
        assert len(rows) == sum(not is_litter(decoded(name.encode()), 1) for name in stored)


versions = st.lists(
    st.tuples(st.sampled_from(["a.wav", "b.wav", "x/a.wav", "x.wav/y.wav", "x.wav"]), st.binary(max_size=3)), max_size=4
)


@given(first=versions, second=versions)
@settings(max_examples=60)
def test_what_was_there_before_makes_no_difference(
    build: Builder, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        again, fresh = (StoragePaths(Path(folder, name)) for name in ("again", "fresh"))
        extract_pair(build.pair(again.landing_calls, ARCHIVE, first, {}), again.archive(ARCHIVE), LIMITS)
        former = {row["path"]: row["crc32"] for row in pq.read_table(again.archive(ARCHIVE).members).to_pylist()}
        counts = [
            extract_pair(build.pair(paths.landing_calls, ARCHIVE, second, {}), paths.archive(ARCHIVE), LIMITS)
            for paths in (again, fresh)
        ]
        assert contents(again.archive(ARCHIVE).folder) == contents(fresh.archive(ARCHIVE).folder)
        rows = pq.read_table(again.archive(ARCHIVE).members).to_pylist()
        sizes = {path: (again.archive(ARCHIVE).audio / path).stat().st_size for row in rows if (path := row["path"])}
        assert len(sizes) == counts[0]["extracted"] + counts[0]["reused"] == counts[1]["extracted"]
        reused = Counter(row["path"] is not None and former.get(row["path"]) == row["crc32"] for row in rows)[True]
        assert counts[0]["reused"] == reused


@given(data=st.data())
@settings(max_examples=150)
def test_flipped_bytes_never_fail_in_another_way(build: Builder, data: st.DataObject) -> None:
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


def test_a_pair_in_a_tar_is_unpacked_in_place(paths: StoragePaths, build: Builder) -> None:
    audio, labels = build.calls(build.label("a" * 24))
    paths.landing_calls.mkdir(parents=True)
    with tarfile.open(paths.landing_calls / "download.tar", "w") as archive:
        for name, members in (("x/TS_x.zip", audio), ("x/TL_x.zip", labels)):
            content = build.zipped(members)
            for start in (0, 300):
                info = tarfile.TarInfo(f"{name}.part{start}")
                piece = content[start:] if start else content[:300]
                info.size = len(piece)
                archive.addfile(info, io.BytesIO(piece))
    pair = scan_landing(paths.landing_calls).pairs["T_x"]
    extract_pair(pair, paths.archive("T_x"), ExtractionConfig(workers=1))
    assert contents(paths.archive("T_x").audio) == audio
    assert contents(paths.archive("T_x").labels) == labels
