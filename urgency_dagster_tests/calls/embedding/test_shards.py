from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster.calls.embedding.shards import (
    VERIFIED,
    FormerVectors,
    Shard,
    plan_shards,
    tables_with_sample,
    vectors_of,
)
from urgency_dagster.tables import EMBEDDING, VECTOR_KEY, embeddings_schema
from urgency_dagster.writing import write_table

MADE_WITH = {"model": "m", "precision": "float32"}


def table(*calls: int, sound: str = "s") -> pa.Table:
    """Three rows for each call."""
    rows = [(call, n) for call in calls for n in range(3)]
    return pa.table(
        {
            "_id": pa.array([f"{call:04}" for call, _ in rows], pa.string()),
            "utterance_id": pa.array([f"{call}-{n}" for call, n in rows], pa.string()),
            "audio_sha256": pa.array([f"{sound}{call}" for call, _ in rows], pa.string()),
            "startAt": pa.array([n * 1000 for _, n in rows], pa.int64()),
            "endAt": pa.array([n * 1000 + 700 for _, n in rows], pa.int64()),
        }
    )


def store(
    target: Path, rows: pa.Table, made_with: dict[str, str] = MADE_WITH, proved: bool = True, rows_per_group: int = 4
) -> np.ndarray:
    """Writes an `embeddings.parquet` with vectors that tell their row."""
    vectors = np.arange(rows.num_rows * 2, dtype=np.float32).reshape(-1, 2)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 2)
    metadata: dict[Any, str] = {**made_with, VERIFIED: str(proved).lower()}
    schema = embeddings_schema(2).with_metadata(metadata)
    whole = pa.Table.from_arrays(
        [*(rows[n].combine_chunks() for n in schema.names if n != EMBEDDING), column], schema=schema
    )
    with pq.ParquetWriter(target, schema) as writer:
        for start in range(0, rows.num_rows, rows_per_group):
            writer.write_table(whole.slice(start, rows_per_group))
    return vectors


class TestPlan:
    def plan(
        self, rows: pa.Table, folder: Path, made_with: dict[str, str] = MADE_WITH, width: int = 2, max_rows: int = 5
    ) -> list[Shard]:
        return plan_shards(rows, folder, made_with, width, max_rows)

    def names(self, *arguments: Any, **options: Any) -> list[str]:
        return [shard.path.name for shard in self.plan(*arguments, **options)]

    def test_the_shards_are_the_rows(self, tmp_path: Path) -> None:
        shards = self.plan(table(1, 2, 3, 4, 5), tmp_path)
        assert [(shard.start, shard.rows.num_rows) for shard in shards] == [(0, 6), (6, 6), (12, 3)]
        assert pa.concat_tables([shard.rows for shard in shards]).equals(table(1, 2, 3, 4, 5))

    def test_a_shard_is_known_by_what_its_vectors_are_made_from(self, tmp_path: Path) -> None:
        names = self.names(table(1, 2, 3, 4), tmp_path)
        assert len(set(names)) == 2
        assert self.names(table(1, 2, 3, 4), tmp_path) == names
        assert not set(self.names(table(1, 2, 3, 4), tmp_path, made_with={**MADE_WITH, "model": "n"})) & set(names)
        assert self.names(table(1, 2, 3, 5), tmp_path)[0] == names[0]
        assert self.names(table(1, 2, 3, 5), tmp_path)[1] != names[1]

    def test_who_says_it_does_not_matter(self, tmp_path: Path) -> None:
        rows = table(1, 2)
        renamed = rows.set_column(1, "utterance_id", pa.array(["x"] * 6))
        assert self.names(renamed, tmp_path) == self.names(rows, tmp_path)

    @pytest.mark.parametrize("column", VECTOR_KEY)
    def test_another_sound_or_interval_does(self, tmp_path: Path, column: str) -> None:
        rows = table(1, 2)
        values = [*rows[column].to_pylist()[:-1], type(rows[column][0].as_py())(9)]
        other = rows.set_column(rows.schema.get_field_index(column), column, pa.array(values))
        assert self.names(other, tmp_path) != self.names(rows, tmp_path)

    def test_a_finished_shard_keeps_its_vectors(self, tmp_path: Path) -> None:
        (shard,) = self.plan(table(1), tmp_path / "new")
        assert shard.vectors() is None
        vectors = np.random.default_rng(0).random((3, 2), dtype=np.float32)
        shard.finish(vectors)
        np.testing.assert_array_equal(shard.vectors(), vectors)
        np.testing.assert_array_equal(self.plan(table(1), tmp_path / "new")[0].vectors(), vectors)

    @pytest.mark.parametrize("keep", [0, 1, 100, 130, 151])
    def test_one_that_was_cut_short_is_not_finished(self, tmp_path: Path, keep: int) -> None:
        (shard,) = self.plan(table(1), tmp_path)
        shard.finish(np.ones((3, 2), np.float32))
        whole = shard.path.read_bytes()
        assert keep < len(whole)
        shard.path.write_bytes(whole[:keep])
        assert shard.vectors() is None

    @pytest.mark.parametrize("wrong", [np.ones((2, 2), np.float32), np.ones((3, 3), np.float32), np.ones((3, 2))])
    def test_one_of_another_shape_is_not_finished(self, tmp_path: Path, wrong: np.ndarray) -> None:
        (shard,) = self.plan(table(1), tmp_path)
        shard.finish(wrong)
        assert shard.vectors() is None

    def test_no_pickle_is_read(self, tmp_path: Path) -> None:
        (shard,) = self.plan(table(1), tmp_path)
        np.save(shard.path, np.array([[print]] * 3, dtype=object), allow_pickle=True)
        assert shard.vectors() is None


class TestFormer:
    def test_rows_are_found_by_their_sound_wherever_they_are(self, tmp_path: Path) -> None:
        vectors = store(tmp_path / "e.parquet", table(1, 2, 3))
        former = FormerVectors(tmp_path / "e.parquet", MADE_WITH)
        rows = pa.concat_tables([table(3), table(9), table(1)])
        at = former.find(rows)
        assert at.tolist() == [6, 7, 8, -1, -1, -1, 0, 1, 2]
        filled = np.full((9, 2), -5, np.float32)
        former.copy_into(filled, at)
        np.testing.assert_array_equal(filled, np.concatenate([vectors[6:], np.full((3, 2), -5), vectors[:3]]))

    def test_all_rows_are_read_however_they_are_grouped(self, tmp_path: Path) -> None:
        for rows_per_group in (1, 2, 5, 100):
            vectors = store(tmp_path / "e.parquet", table(1, 2, 3), rows_per_group=rows_per_group)
            former, filled = FormerVectors(tmp_path / "e.parquet", MADE_WITH), np.empty((9, 2), np.float32)
            former.copy_into(filled, former.find(table(1, 2, 3)))
            np.testing.assert_array_equal(filled, vectors)

    @pytest.mark.parametrize(
        "options", [{"proved": False}, {"made_with": {**MADE_WITH, "model": "n"}}, {"made_with": {"model": "m"}}]
    )
    def test_vectors_that_were_made_otherwise_or_not_proved_do_not_serve(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        store(tmp_path / "e.parquet", table(1), **options)
        assert FormerVectors(tmp_path / "e.parquet", MADE_WITH).find(table(1)).tolist() == [-1] * 3

    def test_no_file_a_damaged_one_or_one_of_another_kind_serves_nothing(self, tmp_path: Path) -> None:
        target = tmp_path / "e.parquet"
        for write in (
            lambda: None,
            lambda: target.write_bytes(b"PAR1 no table"),
            lambda: write_table(target, table(1)),
        ):
            write()
            former = FormerVectors(target, MADE_WITH)
            assert former.find(table(1)).tolist() == [-1] * 3
            vectors = np.ones((3, 2), np.float32)
            former.copy_into(vectors, np.array([-1] * 3))
            assert (vectors == 1).all()


def test_the_vectors_of_some_rows_are_picked_while_tables_go_by(tmp_path: Path) -> None:
    vectors = store(tmp_path / "e.parquet", table(1, 2, 3))
    whole = pq.read_table(tmp_path / "e.parquet")
    pieces = [whole.slice(0, 4), whole.slice(4, 1), whole.slice(5)]
    found = list(tables_with_sample(iter(pieces), [0, 3, 8]))
    assert [piece for piece, _ in found] == pieces
    np.testing.assert_array_equal(np.concatenate([picked for _, picked in found]), vectors[[0, 3, 8]])
    np.testing.assert_array_equal(vectors_of(whole.slice(2, 5)), vectors[2:7])
