from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster.calls.full_table import write_full_table
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import EMBEDDING, UTTERANCES, embeddings_schema
from urgency_dagster.writing import write_table
from urgency_dagster_tests.calls.test_processed import ORIGINAL, key_of, utterance


def write_archive(paths: StoragePaths, archive: str, count: int, width: int = 2, made: Mapping[str, str] = {}) -> None:
    rows = [utterance(n, archive=archive, text=f"{archive} {n}") for n in range(count)]
    vectors = [{**key_of(row), EMBEDDING: [float(n), *[len(archive)] * (width - 1)]} for n, row in enumerate(rows)]
    write_table(paths.archive(archive).utterances, pa.Table.from_pylist(rows, schema=UTTERANCES))
    schema = embeddings_schema(width).with_metadata(dict(made))
    write_table(paths.archive(archive).embeddings, pa.Table.from_pylist(vectors, schema=schema))


def test_the_three_files_have_all_rows_in_one_order(paths: StoragePaths) -> None:
    counts = {"V_b": 3, "T_a": 5000, "T_empty": 0}
    for archive, count in counts.items():
        write_archive(paths, archive, count)
    csv, parquet, npy = write_full_table(paths, list(counts))
    table = pd.read_csv(csv, encoding="utf-8-sig")
    assert table["archive"].tolist() == ["T_a"] * 5000 + ["V_b"] * 3
    assert table.columns.tolist() == UTTERANCES.names
    made, vectors = pq.read_table(parquet), np.load(npy)
    assert made.column_names == ORIGINAL
    assert made["text"].to_pylist() == table["text"].tolist()
    assert (vectors.dtype, vectors.shape) == (np.dtype("float32"), (5003, 2))
    assert [list(row) for row in made[EMBEDDING].to_pylist()] == vectors.tolist()
    assert vectors[:, 0].tolist() == [*range(5000), *range(3)]


def test_vectors_of_two_widths_are_refused(paths: StoragePaths) -> None:
    write_archive(paths, "T_a", 1)
    write_archive(paths, "T_b", 1, width=3)
    with pytest.raises(ArtefactError, match="2 archives with vectors of 2 widths"):
        write_full_table(paths, ["T_a", "T_b"])
    assert not paths.urgency.full_table.exists()


def test_no_archive_is_refused(paths: StoragePaths) -> None:
    with pytest.raises(ArtefactError, match="0 archives"):
        write_full_table(paths, [])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"model": "kresnik/other"}, "vectors of 2 speech models: facebook/base, kresnik/other"),
        ({"model": "facebook/base", "revision": "b2"}, "vectors of 2 revisions of a speech model: a1, b2"),
    ],
)
def test_vectors_of_two_speech_models_are_refused(paths: StoragePaths, other: dict[str, str], said: str) -> None:
    write_archive(paths, "T_a", 1, made={"model": "facebook/base", "revision": "a1"})
    write_archive(paths, "T_b", 1, made=other)
    with pytest.raises(ArtefactError, match=said):
        write_full_table(paths, ["T_a", "T_b"])
    assert not paths.urgency.full_table.exists()


@pytest.mark.parametrize("other", [{}, {"model": "facebook/base", "revision": ""}])
def test_a_model_that_is_not_named_fits(paths: StoragePaths, other: dict[str, str]) -> None:
    """A table of the original's scripts has no revision."""
    write_archive(paths, "T_a", 1, made={"model": "facebook/base", "revision": "a1"})
    write_archive(paths, "T_b", 1, made=other)
    assert len(write_full_table(paths, ["T_a", "T_b"])) == 3
