"""Each check on an artefact that is right and on one that is wrong."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster.defs.checks import (
    beats_majority,
    counts_add_up,
    plausible_scores,
    split_by_call,
    vectors_fit_rows,
)
from urgency_dagster.settings import Settings
from urgency_dagster.storage import StoragePaths, write_table
from urgency_dagster.tables import EMBEDDING, REJECTS
from urgency_dagster_tests.defs.materialising import ARCHIVE


def test_counts_add_up_or_not(made: Settings, paths: StoragePaths) -> None:
    files = paths.archive(ARCHIVE)
    kept = pq.read_metadata(files.utterances).num_rows
    rejected = [row for row in pq.read_table(files.rejects).to_pylist() if row["utterance_id"] is not None]
    assert counts_add_up(paths, ARCHIVE, kept + len(rejected)).passed
    assert not counts_add_up(paths, ARCHIVE, kept + len(rejected) + 1).passed
    write_table(files.rejects, pa.Table.from_pylist(rejected[1:], schema=REJECTS))
    assert not counts_add_up(paths, ARCHIVE, kept + len(rejected)).passed


def test_vectors_must_have_the_rows_of_the_table(made: Settings, paths: StoragePaths) -> None:
    files = paths.archive(ARCHIVE)
    assert vectors_fit_rows(paths, ARCHIVE).passed
    table = pq.read_table(files.embeddings)
    write_table(files.embeddings, pa.concat_tables([table.slice(1), table.slice(0, 1)]))
    assert not vectors_fit_rows(paths, ARCHIVE).passed


def test_vectors_must_be_finite(made: Settings, paths: StoragePaths) -> None:
    files = paths.archive(ARCHIVE)
    table = pq.read_table(files.embeddings)
    vectors = table[EMBEDDING].to_pylist()
    vectors[-1][0] = float("nan")
    broken = pa.array(vectors, type=table.schema.field(EMBEDDING).type)
    write_table(files.embeddings, table.set_column(2, table.schema.field(2), broken))
    assert not vectors_fit_rows(paths, ARCHIVE).passed


def test_no_call_on_both_sides(paths: StoragePaths) -> None:
    rows = paths.urgency.rows
    write_table(rows, pa.table({"_id": ["a", "a", "b"], "side": ["train", "train", "validation"]}))
    assert split_by_call(rows, "official").passed
    write_table(rows, pa.table({"_id": ["a", "a", "b"], "side": ["train", "validation", "validation"]}))
    assert not split_by_call(rows, "official").passed
    assert split_by_call(rows, "utterance").passed


@pytest.mark.parametrize(("model", "passed"), [(0.5, True), (0.2, False), (0.1, False)])
def test_the_majority_class_is_to_be_beaten(model: float, passed: bool) -> None:
    metrics = {"utterance": {"urgency": {"f1_macro": model}}, "majority": {"urgency": {"f1_macro": 0.2}}}
    assert beats_majority(metrics).passed is passed


def test_scores_that_are_too_good_are_named() -> None:
    assert plausible_scores({"rf": 0.55, "dummy": 0.33}).passed
    suspicious = plausible_scores({"rf": 0.91, "xgb": 0.71, "dummy": 0.33})
    assert not suspicious.passed
    assert suspicious.metadata["above_limit"].value == "rf, xgb"
