"""The same call in two archives, found by its id and by what its recording sounds like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.data.duplicates import SharedCalls, find_shared_calls
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import write_root

FIRST, SECOND, THIRD = "T_광주_구급", "T_서울_화재", "V_광주_구급"
NAMES = (FIRST, SECOND, THIRD)
CALLS = 4


@pytest.fixture
def paths(tmp_path: Path) -> StoragePaths:
    return write_root(tmp_path, archives=dict.fromkeys(NAMES, CALLS))


def change(paths: StoragePaths, archive: str, /, **columns: Callable[[list[Any]], list[Any]]) -> None:
    """Replaces columns of an archive's utterance table by a function of the column."""
    table = pq.read_table(paths.archive(archive).utterances)
    for name, changed in columns.items():
        field = table.schema.field(name)
        column = pa.array(changed(table[name].to_pylist()), field.type)
        table = table.set_column(table.schema.get_field_index(name), field, column)
    write_table(paths.archive(archive).utterances, table)


def ids(paths: StoragePaths, archive: str, column: str = "_id") -> list[str]:
    values: list[str] = pc.unique(pq.read_table(paths.archive(archive).utterances)[column]).to_pylist()
    return values


def renamed(old: str, new: str) -> Callable[[list[str]], list[str]]:
    return lambda values: [new if value == old else value for value in values]


def test_distinct_calls_share_nothing(paths: StoragePaths) -> None:
    assert find_shared_calls(paths, NAMES) == SharedCalls(0, 0, 0, ())


def test_an_id_in_two_archives(paths: StoragePaths) -> None:
    change(paths, THIRD, _id=renamed(ids(paths, THIRD)[0], ids(paths, FIRST)[0]))
    assert find_shared_calls(paths, NAMES) == SharedCalls(1, 0, 0, (FIRST, THIRD))


def test_a_recording_in_two_archives_under_another_id(paths: StoragePaths) -> None:
    for n in (0, 1):
        old, new = (ids(paths, archive, "audio_sha256")[n] for archive in (THIRD, SECOND))
        change(paths, THIRD, audio_sha256=renamed(old, new))
    assert find_shared_calls(paths, NAMES) == SharedCalls(0, 2, 0, (SECOND, THIRD))


def test_a_recording_of_two_calls_in_one_archive_is_counted_separately(paths: StoragePaths) -> None:
    first, second = ids(paths, FIRST, "audio_sha256")[:2]
    change(paths, FIRST, audio_sha256=renamed(first, second))
    assert find_shared_calls(paths, NAMES) == SharedCalls(0, 0, 1, ())


def test_silent_recordings_are_left_out_unless_partly_audible(paths: StoragePaths) -> None:
    for archive in (FIRST, SECOND):
        change(paths, archive, audio_sha256=lambda hashes: ["0" * 64] * len(hashes), silent=lambda v: [True] * len(v))
    assert find_shared_calls(paths, NAMES) == SharedCalls(0, 0, 0, ())
    for archive in (FIRST, SECOND):
        change(paths, archive, silent=lambda values: [n > 0 for n in range(len(values))])
    assert find_shared_calls(paths, NAMES) == SharedCalls(0, 1, 0, (FIRST, SECOND))


def test_an_archive_sent_twice_shares_all_of_its_calls(paths: StoragePaths) -> None:
    paths.archive("T_인천_구급").folder.mkdir()
    write_table(paths.archive("T_인천_구급").utterances, pq.read_table(paths.archive(FIRST).utterances))
    change(paths, "T_인천_구급", archive=lambda values: ["T_인천_구급"] * len(values))
    found = find_shared_calls(paths, [*NAMES, "T_인천_구급"])
    assert found == SharedCalls(CALLS, CALLS, 0, (FIRST, "T_인천_구급"))
