"""Atomic writing, and hashes."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.writing import (
    TableSink,
    file_hash,
    read_json,
    replacing,
    replacing_folder,
    table_sink,
    text_hash,
    write_json,
    write_table,
    write_text,
)
from urgency_dagster_tests.child_process import child_process

Replace = Callable[[Path], AbstractContextManager[Path]]

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("text", pa.string())])


class StoppedError(Exception):
    """Ends a block early."""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestReplacing:
    def test_the_file_exists_after_the_block_succeeds(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "er" / "a.txt"
        with replacing(target) as temporary:
            temporary.write_text("new")
            assert not target.exists()
            assert temporary.parent == target.parent, "on the same file system, so that the rename is atomic"
        assert target.read_text() == "new"
        assert names(target.parent) == {"a.txt"}

    def test_the_old_file_stays_when_the_block_fails(self, tmp_path: Path) -> None:
        target = tmp_path / "a.txt"
        target.write_text("old")
        with pytest.raises(StoppedError), replacing(target) as temporary:
            temporary.write_text("half of the n")
            raise StoppedError
        assert target.read_text() == "old"
        assert names(tmp_path) == {"a.txt"}

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
    def test_files_and_folders_follow_the_umask(self, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            write_text(tmp_path / "a.txt", "x")
            with replacing(tmp_path / "b.txt") as temporary:
                temporary.unlink()
                temporary.touch(0o600)
            with replacing_folder(tmp_path / "folder") as temporary:
                (temporary / "c.txt").touch()
        finally:
            os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
        file_mode = 0o666 & ~umask
        assert modes == {"a.txt": file_mode, "b.txt": file_mode, "folder": 0o777 & ~umask, "c.txt": file_mode}

    @pytest.mark.parametrize("name", ["a" * 255, "가" * 85, "😀" * 63 + "abc"])
    def test_the_longest_file_names_can_be_written(self, tmp_path: Path, name: str) -> None:
        write_text(tmp_path / name, "x")
        with replacing_folder(tmp_path / name[::-1]) as temporary:
            (temporary / "a").touch()
        assert names(tmp_path) == {name, name[::-1]}


class TestReplacingFolder:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        (tmp_path / "folder" / "sub").mkdir(parents=True)
        (tmp_path / "folder" / "sub" / "old").write_text("old")
        return tmp_path / "folder"

    def test_a_new_folder_replaces_the_old_one(self, target: Path) -> None:
        with replacing_folder(target) as temporary:
            (temporary / "new").write_text("new")
            assert names(target) == {"sub"}
        assert names(target) == {"new"}
        assert names(target.parent) == {"folder"}

    def test_no_old_folder_is_needed(self, tmp_path: Path) -> None:
        with replacing_folder(tmp_path / "deep" / "folder") as temporary:
            (temporary / "new").touch()
        assert names(tmp_path / "deep" / "folder") == {"new"}
        assert os.access(tmp_path / "deep" / "folder", os.R_OK | os.X_OK)

    def test_the_old_folder_stays_when_the_block_fails(self, target: Path) -> None:
        with pytest.raises(StoppedError), replacing_folder(target) as temporary:
            (temporary / "new").touch()
            raise StoppedError
        assert (target / "sub" / "old").read_text() == "old"
        assert names(target.parent) == {"folder"}

    def test_a_link_is_replaced_and_not_followed(self, tmp_path: Path, target: Path) -> None:
        (tmp_path / "link").symlink_to(target)
        with replacing_folder(tmp_path / "link") as temporary:
            (temporary / "new").touch()
        assert names(tmp_path / "link") == {"new"}
        assert names(target) == {"sub"}

    def test_a_file_is_replaced_by_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "folder").write_text("old")
        with replacing_folder(tmp_path / "folder") as temporary:
            (temporary / "new").touch()
        assert names(tmp_path / "folder") == {"new"}
        assert names(tmp_path) == {"folder"}


WRITER = """
import sys, time
from pathlib import Path
from urgency_dagster import writing
with getattr(writing, sys.argv[1])(Path(sys.argv[2])) as temporary:
    print(temporary, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("replace", [replacing, replacing_folder])
class TestAbandoned:
    """Temporary files of a process that was killed."""

    @pytest.fixture
    def writer(self, tmp_path: Path, replace: Replace) -> Iterator[subprocess.Popen[str]]:
        """Another process that is replacing `target`."""
        command = [sys.executable, "-c", WRITER, replace.__name__, str(tmp_path / "target")]
        with child_process(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield process

    @pytest.mark.slow
    def test_they_are_removed_by_the_next_process(
        self, tmp_path: Path, replace: Replace, writer: subprocess.Popen[str]
    ) -> None:
        writer.kill()
        writer.wait()
        assert len(names(tmp_path)) == 1
        with replace(tmp_path / "target"):
            pass
        assert names(tmp_path) == {"target"}

    @pytest.mark.slow
    def test_those_of_a_running_process_stay(
        self, tmp_path: Path, replace: Replace, writer: subprocess.Popen[str]
    ) -> None:
        with replace(tmp_path / "target"):
            pass
        assert len(names(tmp_path)) == 2

    @pytest.mark.slow
    def test_those_of_another_target_or_machine_stay(
        self, tmp_path: Path, replace: Replace, writer: subprocess.Popen[str]
    ) -> None:
        writer.kill()
        writer.wait()
        (own,) = tmp_path.iterdir()
        elsewhere = own.with_name(f".target.00000000-{writer.pid}-x.tmp")
        own.rename(elsewhere)
        others = [".target.tmp", ".target.x.tmp", "target.tmp", own.name.replace(".target.", ".target2.")]
        for name in others:
            (tmp_path / name).touch()
        with replace(tmp_path / "target"):
            pass
        assert names(tmp_path) == {elsewhere.name, *others, "target"}


class TestJson:
    def test_a_written_value_is_read(self, tmp_path: Path) -> None:
        value = {"나": [1, 2.5, None, True], "가": {"x": "글"}}
        write_json(tmp_path / "a.json", value)
        assert read_json(tmp_path / "a.json") == value

    def test_the_order_of_the_keys_does_not_matter(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"x": 1, "y": 2})
        write_json(tmp_path / "b.json", {"y": 2, "x": 1})
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()

    def test_korean_is_readable(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"level": "상"})
        assert "상" in (tmp_path / "a.json").read_text("utf-8")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
    def test_an_unsupported_value_is_refused_and_the_old_file_stays(self, tmp_path: Path, value: Any) -> None:
        write_json(tmp_path / "a.json", {"x": 1})
        with pytest.raises((ValueError, TypeError)):
            write_json(tmp_path / "a.json", {"x": value})
        assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
        assert names(tmp_path) == {"a.json"}


class TestTables:
    def test_the_same_table_gives_the_same_bytes(self, tmp_path: Path) -> None:
        table = pa.table({"n": [1, 2], "text": ["가", None]}, schema=SCHEMA)
        write_table(tmp_path / "a.parquet", table)
        write_table(tmp_path / "b.parquet", table)
        assert pq.read_table(tmp_path / "a.parquet").equals(table)
        assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()

    @pytest.mark.parametrize("counts", [[], [0], [5], [3, 4, 5], [20_000, 20_000, 30_000], [100_000]])
    def test_a_sink_writes_all_rows_in_order_in_groups_of_one_length(self, tmp_path: Path, counts: list[int]) -> None:
        rows = iter(range(sum(counts)))
        with table_sink(tmp_path / "a.parquet", SCHEMA) as sink:
            for count in counts:
                sink.add([{"n": next(rows)} for _ in range(count)])
        stored = pq.ParquetFile(tmp_path / "a.parquet")
        assert stored.schema_arrow.equals(SCHEMA)
        assert stored.read()["n"].to_pylist() == list(range(sum(counts)))
        groups = [stored.metadata.row_group(i).num_rows for i in range(stored.metadata.num_row_groups)]
        assert all(size == TableSink.ROWS_PER_GROUP for size in groups[:-1])
        assert all(size <= TableSink.ROWS_PER_GROUP for size in groups)

    def test_the_size_of_the_added_lists_does_not_change_the_bytes(self, tmp_path: Path) -> None:
        rows = [{"n": n, "text": str(n)} for n in range(40_000)]
        for name, size in (("a", 7), ("b", 40_000)):
            with table_sink(tmp_path / name, SCHEMA) as sink:
                for start in range(0, len(rows), size):
                    sink.add(rows[start : start + size])
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_missing_keys_are_null_where_null_is_allowed(self, tmp_path: Path) -> None:
        with table_sink(tmp_path / "a.parquet", SCHEMA) as sink:
            sink.add([{"n": 1}])
        assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [{"n": 1, "text": None}]
        with pytest.raises(pa.ArrowInvalid), table_sink(tmp_path / "a.parquet", SCHEMA) as sink:
            sink.add([{"text": "no number"}])

    @pytest.mark.parametrize("row", [{"n": "no number"}, {"n": 2**63}, {"n": 1, "text": "\ud800"}])
    def test_an_invalid_row_keeps_the_old_file(self, tmp_path: Path, row: dict[str, Any]) -> None:
        write_text(tmp_path / "a.parquet", "old")
        with (
            pytest.raises((pa.ArrowException, OverflowError, UnicodeError)),
            table_sink(tmp_path / "a.parquet", SCHEMA) as sink,
        ):
            sink.add([row])
        assert (tmp_path / "a.parquet").read_text() == "old"
        assert names(tmp_path) == {"a.parquet"}

    def test_a_failed_block_keeps_the_old_file(self, tmp_path: Path) -> None:
        write_text(tmp_path / "a.parquet", "old")
        with pytest.raises(StoppedError), table_sink(tmp_path / "a.parquet", SCHEMA) as sink:
            sink.add([{"n": 1}] * 40_000)
            raise StoppedError
        assert (tmp_path / "a.parquet").read_text() == "old"
        assert names(tmp_path) == {"a.parquet"}


class TestHashes:
    def test_a_file_hash_is_the_sha256_of_its_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @given(first=st.lists(st.text(max_size=3), max_size=3), second=st.lists(st.text(max_size=3), max_size=3))
    def test_only_equal_sequences_of_texts_have_equal_hashes(self, first: list[str], second: list[str]) -> None:
        assert (text_hash(*first) == text_hash(*second)) == (first == second)
