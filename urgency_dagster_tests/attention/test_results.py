import dataclasses
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_1samp

from urgency_dagster import tables
from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.metrics import participant_table
from urgency_dagster.attention.protocol import CrossValidationConfig
from urgency_dagster.attention.results import read_metrics, read_result_table, write_results
from urgency_dagster.errors import ArtefactError


@pytest.fixture(scope="module")
def result(data):
    return cross_validate(data, ["logreg"], CrossValidationConfig(backend="sequential"))["logreg"]


def test_the_metrics_file_holds_folds_and_their_mean(result, paths):
    returned = write_results(result, paths)
    stored = json.loads((paths.results("logreg") / "metrics.json").read_text())
    assert stored == returned == read_metrics(paths, "logreg")
    assert stored["model"] == "logreg"
    assert [fold["fold"] for fold in stored["folds"]] == [1, 2, 3, 4, 5]
    for score in tables.ATTENTION_SCORES:
        values = [fold[score] for fold in stored["folds"]]
        assert stored["mean"][score] == pytest.approx(np.mean(values))
        assert stored["sd"][score] == pytest.approx(np.std(values, ddof=1))
    assert stored["data"] == {
        "source_sha256": "0" * 64,
        "rows": 300,
        "participants": 10,
        "positive_rate": pytest.approx(result.predictions["y"].mean()),
    }
    assert stored["protocol"] == {"splitter": "StratifiedGroupKFold", "n_splits": 5, "seed": 42}


def test_the_tables_have_their_schemas_and_values(result, paths):
    write_results(result, paths)
    for name, schema, expected in (
        ("predictions", tables.ATTENTION_PREDICTIONS, result.predictions),
        ("folds", tables.ATTENTION_FOLDS, result.folds),
        ("importances", tables.ATTENTION_IMPORTANCES, result.importances),
        ("participants", tables.ATTENTION_PARTICIPANTS, participant_table(result.predictions)),
    ):
        table = pq.read_table(paths.results("logreg") / f"{name}.parquet")
        assert table.schema.equals(schema, check_metadata=True)
        pd.testing.assert_frame_equal(table.to_pandas(), expected, check_dtype=False)
        pd.testing.assert_frame_equal(read_result_table(paths, "logreg", f"{name}.parquet"), table.to_pandas())


def test_every_score_has_its_intervals(result, paths):
    stored = write_results(result, paths)
    for score in tables.ATTENTION_SCORES:
        values = [fold[score] for fold in stored["folds"]]
        low, high = stored["interval_folds"][score]
        expected = ttest_1samp(values, 0).confidence_interval(0.95)
        assert (low, high) == pytest.approx((expected.low, expected.high))
        low, high = stored["interval_participants"][score]
        assert low < stored["pooled"][score] < high
    assert stored["pooled"]["accuracy"] == pytest.approx(
        (result.predictions["y"] == result.predictions["predicted"]).mean()
    )


def test_the_training_rows_are_judged_too(result, paths):
    stored = write_results(result, paths)
    assert stored["train_mean"].keys() == stored["mean"].keys()
    assert stored["train_mean"]["f1_macro"] > stored["mean"]["f1_macro"]
    assert stored["train_mean"]["f1_macro"] == pytest.approx(result.folds["train_f1_macro"].mean())


def test_a_participant_of_one_class_has_no_area(result, paths):
    changed = dataclasses.replace(result, predictions=result.predictions.copy())
    first = changed.predictions["participant"] == "P01"
    changed.predictions.loc[first, "y"] = 1
    write_results(changed, paths)
    table = read_result_table(paths, "logreg", "participants.parquet").set_index("participant")
    assert np.isnan(table.loc["P01", "roc_auc"])
    assert np.isnan(table.loc["P01", "f1_macro"])
    assert table.loc["P01", "majority_share"] == 1
    assert table["roc_auc"].notna().sum() == 9


def test_writing_again_gives_the_same_bytes(data, result, paths):
    write_results(result, paths)
    first = {file.name: file.read_bytes() for file in paths.results("logreg").iterdir()}
    again = cross_validate(data, ["logreg"], CrossValidationConfig(backend="sequential"))["logreg"]
    write_results(again, paths)
    assert {file.name: file.read_bytes() for file in paths.results("logreg").iterdir()} == first
    assert sorted(first) == [
        "folds.parquet",
        "importances.parquet",
        "metrics.json",
        "participants.parquet",
        "predictions.parquet",
    ]


def test_a_model_that_was_not_judged_is_named(paths):
    with pytest.raises(ArtefactError, match="attention_cv/rf"):
        read_metrics(paths, "rf")
    with pytest.raises(ArtefactError, match=r"rf has no folds.parquet"):
        read_result_table(paths, "rf", "folds.parquet")
