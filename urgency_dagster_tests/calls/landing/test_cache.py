import itertools
import json
import os
import shutil
import struct
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.calls.landing.cache import NOT_WHOLE, LandingCache, why_unreadable
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.zips import MAX_DIRECTORY_BYTES
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import file_hash, read_json, write_json
from urgency_dagster_tests.calls.watching import watching
from urgency_dagster_tests.conftest import Builder


@pytest.fixture
def landing(paths: StoragePaths) -> Path:
    paths.landing_calls.mkdir(parents=True)
    return paths.landing_calls


@pytest.fixture
def file(landing: Path, build: Builder) -> Path:
    return build.zip(landing / "TS_x.zip", {"a.wav": b"1" * 100})


def split(whole: Path, *offsets: int) -> LandedZip:
    """Replaces a ZIP by its parts."""
    content = whole.read_bytes()
    ends = [*offsets[1:], len(content)]
    parts = [whole.with_name(f"{whole.name}.part{offset}") for offset in offsets]
    for part, offset, end in zip(parts, offsets, ends, strict=True):
        part.write_bytes(content[offset:end])
    whole.unlink()
    return LandedZip(whole.name, tuple(parts))


def put_in_place_unseen(file: Path, content: bytes) -> None:
    """Other content of the same size under the same inode and time."""
    before = file.stat()
    assert len(content) == before.st_size
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_ino == before.st_ino


class TestWriting:
    """The cache file is written whole, so many facts must not cost as many writes."""

    def test_a_block_writes_its_facts_at_its_end(self, paths: StoragePaths, landing: Path, build: Builder) -> None:
        files = [build.zip(landing / f"TS_{n}.zip", {"a.wav": b"%d" % n}) for n in range(5)]
        cache = LandingCache(paths)
        with cache.collecting():
            hashes = [cache.of_file(file) for file in files]
            assert not paths.landing_hashes.exists()
        assert len(read_json(paths.landing_hashes)) == 5
        assert [LandingCache(paths).of_file(file) for file in files] == hashes

    def test_a_block_that_fails_keeps_its_facts(self, paths: StoragePaths, file: Path) -> None:
        cache = LandingCache(paths)
        with pytest.raises(ArchiveError), cache.collecting():
            cache.of_file(file)
            raise ArchiveError("one", "two", "three")
        assert len(read_json(paths.landing_hashes)) == 1


class TestIdentity:
    def test_equal_bytes_are_equal_wherever_and_whenever(
        self, paths: StoragePaths, landing: Path, build: Builder
    ) -> None:
        first = build.pair(landing / "a", "T_x", {"a.wav": b"1"}, {"a.json": b"2"})
        again = build.pair(landing / "b", "T_x", {"a.wav": b"1"}, {"a.json": b"2"})
        os.utime(again.audio.parts[0], (1, 1))
        identity = LandingCache(paths).of_pair(first.audio, first.labels)
        assert LandingCache(paths).of_pair(again.audio, again.labels) == identity

    def test_parts_are_equal_to_the_joined_zip(self, paths: StoragePaths, landing: Path, build: Builder) -> None:
        pair = build.pair(landing, "T_x", {"a.wav": b"1" * 100}, {"a.json": b"2"})
        joined, content = LandingCache(paths).of_pair(pair.audio, pair.labels), file_hash(pair.audio.parts[0])
        parts = split(pair.audio.parts[0], 0, 9, 100)
        assert LandingCache(paths).content_hash(parts) == content
        assert LandingCache(paths).of_pair(parts, pair.labels) == joined

    def test_many_files_are_hashed_with_the_progress_of_all(self, paths: StoragePaths, landing: Path) -> None:
        files = [LandedZip.whole(landing / name) for name in ("a.wav", "b.wav")]
        for number, landed in enumerate(files):
            landed.parts[0].write_bytes(bytes([number]) * 3_000_000)
        told: list[tuple[int, int]] = []
        cache = LandingCache(paths)
        assert cache.known_files(files) is None
        hashes = cache.of_files(files, lambda done, total, **_: told.append((done, total)))
        assert hashes == cache.known_files(files) == [file_hash(landed.parts[0]) for landed in files]
        assert told == [(3, 6), (6, 6)]

    def test_other_bytes_on_either_side_differ(self, paths: StoragePaths, landing: Path, build: Builder) -> None:
        contents = [(b"1", b"2"), (b"3", b"2"), (b"1", b"3"), (b"2", b"1")]
        pairs = [
            build.pair(landing / str(n), "T_x", {"a.wav": audio}, {"a.wav": labels})
            for n, (audio, labels) in enumerate(contents)
        ]
        assert len({LandingCache(paths).of_pair(pair.audio, pair.labels) for pair in pairs}) == len(pairs)

    def test_other_bytes_under_the_same_name_differ(self, paths: StoragePaths, file: Path, build: Builder) -> None:
        before = LandingCache(paths).of_file(file)
        build.zip(file, {"a.wav": b"2" * 100})
        os.utime(file, (1, 1))
        assert LandingCache(paths).of_file(file) == file_hash(file) != before

    def test_of_a_file_it_is_the_plain_hash(self, paths: StoragePaths, file: Path) -> None:
        assert LandingCache(paths).of_file(file) == file_hash(file)


class TestMemory:
    def test_an_untouched_landing_folder_is_not_read_again(
        self, paths: StoragePaths, landing: Path, build: Builder
    ) -> None:
        build.pair(landing / "a", "T_x", {"a.wav": b"1"}, {"a.json": b"2"})
        split(build.pair(landing, "V_x", {"a.wav": b"1"}, {"a.json": b"2"}).audio.parts[0], 0, 9)
        (landing / "TS_y.zip").write_bytes(b"no ZIP")

        def tick() -> tuple[Any, ...]:
            cache = LandingCache(paths)
            found = scan_landing(landing, cache)
            return found, [cache.of_pair(pair.audio, pair.labels) for pair in found.pairs.values()]

        opened: list[Path] = []
        with watching(opened.append):
            first = tick()
        read = {path.name for path in opened if landing in path.parents and path.suffix}
        assert read == {"TS_x.zip", "TL_x.zip", "VS_x.zip.part0", "VS_x.zip.part9", "VL_x.zip", "TS_y.zip"}
        opened.clear()
        with watching(opened.append):
            assert tick() == first
        assert {path for path in opened if not path.is_dir()} == {paths.landing_hashes}

    def test_hash_and_list_of_members_are_those_of_the_first_look(self, paths: StoragePaths, file: Path) -> None:
        cache = LandingCache(paths)
        content = cache.of_file(file)
        assert cache.why_unreadable(LandedZip.whole(file)) == ""
        put_in_place_unseen(file, bytes(file.stat().st_size))
        for again in (cache, LandingCache(paths)):
            assert again.of_file(file) == content
            assert again.why_unreadable(LandedZip.whole(file)) == ""

    @pytest.mark.parametrize("part", [0, 1])
    @pytest.mark.parametrize("change", ["time", "size", "inode"])
    def test_a_touched_part_is_read_again(self, paths: StoragePaths, file: Path, part: int, change: str) -> None:
        landed = split(file, 0, 9)
        LandingCache(paths).content_hash(landed)
        touched = landed.parts[part]
        before = touched.stat()
        content = touched.read_bytes()[::-1]
        if change == "inode":
            copy = touched.with_name("copy")
            copy.write_bytes(content)
            copy.replace(touched)
        touched.write_bytes(content + b"more" * (change == "size"))
        os.utime(touched, ns=(before.st_atime_ns, before.st_mtime_ns + (change == "time")))
        joined = b"".join(part.read_bytes() for part in landed.parts)
        file.write_bytes(joined)
        assert LandingCache(paths).content_hash(landed) == file_hash(file)
        assert len(read_json(paths.landing_hashes)) == 1, "the old entry goes"

    def test_nothing_known_of_an_earlier_state_is_kept(self, paths: StoragePaths, file: Path) -> None:
        cache, landed = LandingCache(paths), LandedZip.whole(file)
        assert cache.why_unreadable(landed) == ""
        file.write_bytes(b"half")
        assert cache.content_hash(landed) == file_hash(file)
        assert cache.why_unreadable(landed) == NOT_WHOLE

    def test_a_file_that_is_gone_is_forgotten(self, paths: StoragePaths, landing: Path) -> None:
        cache = LandingCache(paths)
        files = [landing / name for name in ("광.zip", "\udcb1.zip", "gone.zip", "last.zip")]
        for file in files:
            file.write_bytes(b"content")
        for file in files[:3]:
            cache.of_file(file)
        files[2].unlink()
        cache.of_file(files[3])
        kept = ["landing/calls/%B1.zip", "landing/calls/%EA%B4%91.zip", "landing/calls/last.zip"]
        assert list(read_json(paths.landing_hashes)) == kept

    def test_the_root_may_be_moved(self, paths: StoragePaths, file: Path, tmp_path: Path) -> None:
        content = LandingCache(paths).of_file(file)
        put_in_place_unseen(file, bytes(file.stat().st_size))
        moved = StoragePaths(paths.root.rename(tmp_path / "moved"))
        assert LandingCache(moved).of_file(moved.landing_calls / file.name) == content

    def test_the_root_may_be_given_in_two_ways(
        self, paths: StoragePaths, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = LandingCache(paths).of_file(file)
        put_in_place_unseen(file, bytes(file.stat().st_size))
        monkeypatch.chdir(paths.root.parent)
        relative = StoragePaths(Path(paths.root.name))
        assert LandingCache(relative).of_file(relative.landing_calls / file.name) == content

    @pytest.mark.parametrize(
        "damaged",
        [
            *(b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"a": 1}', b"[" * 100_000, b"\0" * 100),
            b'{"landing/calls/TS_x.zip|1|2|3": "a hash of an older version"}',
            b'{"%00": {"look": [1, 2, 3], "facts": {}}}',
        ],
        ids=range(10),
    )
    def test_a_damaged_record_is_begun_anew(self, paths: StoragePaths, file: Path, damaged: bytes) -> None:
        LandingCache(paths).of_file(file)
        paths.landing_hashes.write_bytes(damaged)
        assert LandingCache(paths).of_file(file) == file_hash(file)
        assert list(read_json(paths.landing_hashes)) == ["landing/calls/TS_x.zip"]


class TestSeveralAtOnce:
    def test_what_another_found_out_is_not_found_out_again(self, paths: StoragePaths, file: Path) -> None:
        early = LandingCache(paths)
        content = LandingCache(paths).of_file(file)
        put_in_place_unseen(file, bytes(file.stat().st_size))
        assert early.of_file(file) == content

    def test_nobody_loses_what_another_wrote(self, paths: StoragePaths, landing: Path) -> None:
        names = [[f"{writer}-{n}" for n in range(15)] for writer in range(4)]
        for name in itertools.chain(*names):
            (landing / name).write_text(name)

        def write(mine: list[str]) -> None:
            cache = LandingCache(paths)
            for name in mine:
                cache.of_file(landing / name)

        writers = [threading.Thread(target=write, args=(mine,)) for mine in names]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert len(read_json(paths.landing_hashes)) == 60


class TestChanges:
    @pytest.mark.parametrize("question", ["content_hash", "why_unreadable"])
    def test_what_grows_while_it_is_read_is_neither_used_nor_kept(
        self, paths: StoragePaths, file: Path, question: str
    ) -> None:
        def grow(path: Path) -> None:
            if path == file:
                file.write_bytes(file.read_bytes() + b"more")

        ask = getattr(LandingCache(paths), question)
        with watching(grow), pytest.raises(ArchiveError, match="changed while it was read"):
            ask(LandedZip.whole(file))
        assert not paths.landing_hashes.exists()
        assert LandingCache(paths).of_file(file) == file_hash(file), "and then it is ready"

    def test_a_copy_that_ends_while_it_is_read_is_read_again(self, paths: StoragePaths, file: Path) -> None:
        final = file.read_bytes()
        file.write_bytes(bytes(len(final)))
        ends = iter([None, lambda: file.write_bytes(final)])

        def end(path: Path) -> None:
            if path == file and (act := next(ends, None)):
                act()

        with watching(end):
            LandingCache(paths).why_unreadable(LandedZip.whole(file))
            assert LandingCache(paths).of_file(file) == file_hash(file)

    def test_a_part_that_gets_other_content_meanwhile(self, paths: StoragePaths, file: Path) -> None:
        landed = split(file, 0, 9)
        times = itertools.count(1)

        def replace(path: Path) -> None:
            if path == landed.parts[1]:
                time = next(times)
                landed.parts[0].write_bytes(bytes([time]) * 9)
                os.utime(landed.parts[0], (time, time))

        with watching(replace), pytest.raises(ArchiveError, match="changed while it was read"):
            LandingCache(paths).content_hash(landed)


class TestUnstableFileSystems:
    """On SMB and NFS, the time or the inode of a file can change although nobody writes to it."""

    def test_a_time_that_changes_by_itself_does_not_count(self, paths: StoragePaths, file: Path) -> None:
        times = itertools.count(1)

        def tick(path: Path) -> None:
            if path == file:
                time = next(times)
                os.utime(file, (time, time))

        cache = LandingCache(paths)
        with watching(tick):
            content = cache.of_file(file)
        os.utime(file, (1000, 1000))
        assert content == LandingCache(paths).known_file(file) == file_hash(file)
        assert cache.settled_fingerprint(LandedZip.whole(file)) == [file.stat().st_size, -1]

    def test_an_inode_that_changes_by_itself_does_not_count(self, paths: StoragePaths, file: Path) -> None:
        cache = LandingCache(paths)
        content = cache.of_file(file)
        self._change_inode(file)
        assert cache.known_file(file) is None
        assert cache.of_file(file) == content
        self._change_inode(file)
        assert LandingCache(paths).known_file(file) == content
        file.write_bytes(b"other content")
        assert LandingCache(paths).known_file(file) is None

    def _change_inode(self, file: Path) -> None:
        shutil.copy2(file, file.with_suffix(".copy"))
        file.with_suffix(".copy").replace(file)

    def test_a_time_that_was_set_counts(self, paths: StoragePaths, file: Path) -> None:
        LandingCache(paths).of_file(file)
        os.utime(file, (1, 1))
        assert LandingCache(paths).known_file(file) is None


class TestGone:
    @pytest.mark.parametrize("question", ["content_hash", "why_unreadable"])
    def test_a_file_that_is_gone(self, paths: StoragePaths, landing: Path, question: str) -> None:
        with pytest.raises(ArchiveError, match=r"cannot be read \(No such file or directory\)"):
            getattr(LandingCache(paths), question)(LandedZip.whole(landing / "TS_x.zip"))

    def test_what_could_not_be_read_is_not_remembered(self, paths: StoragePaths, file: Path) -> None:
        # A folder in the place of a part: no permission is needed to make the disk refuse.
        landed = split(file, 0, 9)
        content = landed.parts[1].read_bytes()
        landed.parts[1].unlink()
        landed.parts[1].mkdir()
        with pytest.raises(ArchiveError, match=r"cannot be read \(Is a directory\)"):
            LandingCache(paths).why_unreadable(landed)
        landed.parts[1].rmdir()
        landed.parts[1].write_bytes(content)
        assert LandingCache(paths).why_unreadable(landed) == ""


class TestWhyUnreadable:
    @pytest.mark.parametrize("comment", [b"", b"a comment"])
    def test_a_whole_zip(self, landing: Path, comment: bytes) -> None:
        file = landing / "a.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.wav", b"1")
            archive.comment = comment
        assert why_unreadable(LandedZip.whole(file)) == ""

    def test_one_cut_anywhere(self, landing: Path, file: Path) -> None:
        whole = file.read_bytes()
        cut = landing / "b.zip"
        for length in range(len(whole)):
            cut.write_bytes(whole[:length])
            assert why_unreadable(LandedZip.whole(cut)) == NOT_WHOLE

    def test_one_whose_list_is_damaged_though_its_end_is_there(self, file: Path) -> None:
        file.write_bytes(file.read_bytes().replace(b"PK\1\2", b"PK\1\3"))
        assert zipfile.is_zipfile(file)
        assert why_unreadable(LandedZip.whole(file)) == NOT_WHOLE

    @pytest.mark.parametrize("count", [1, 2])
    def test_parts_whose_last_is_missing(self, file: Path, count: int) -> None:
        landed = split(file, 0, 9, 50)
        there = LandedZip(landed.name, landed.parts[:count])
        assert why_unreadable(there) == f"{NOT_WHOLE}, or its last part is missing: TS_x.zip.part{(9, 50)[count - 1]}"

    def test_a_list_that_is_said_to_be_as_long_as_the_file(self, landing: Path) -> None:
        file, length = landing / "a.zip", MAX_DIRECTORY_BYTES + 1
        with file.open("wb") as stream:
            stream.seek(length)  # a hole, which takes no room on the disk
            stream.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, length, 0, 0))
        assert why_unreadable(LandedZip.whole(file)) == NOT_WHOLE


def test_the_record_is_readable_json(paths: StoragePaths, file: Path) -> None:
    LandingCache(paths).of_file(file)
    LandingCache(paths).why_unreadable(LandedZip.whole(file))
    stored = json.loads(paths.landing_hashes.read_text())
    stat = file.stat()
    assert stored == {
        "landing/calls/TS_x.zip": {
            "look": [stat.st_size, stat.st_mtime_ns, stat.st_ino],
            "facts": {"sha256": file_hash(file), "directory": ""},
        }
    }
    write_json(paths.landing_hashes, stored)
    assert LandingCache(paths).of_file(file) == file_hash(file)
