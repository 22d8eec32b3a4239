import dataclasses
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from urgency_dagster import tables
from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.protocol import CrossValidationConfig, Protocol
from urgency_dagster.attention.results import read_metrics, read_protocol, write_results
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
    assert stored["folds_with_score"] == dict.fromkeys(tables.ATTENTION_SCORES, 5)
    assert stored["protocol"] == {
        "splitter": "stratified_group",
        "n_splits": 5,
        "seed": 42,
        "oversample": False,
        "inner_split": "participant",
        "xgb_settings": "stated",
    }


def test_the_tables_have_their_schemas_and_values(result, paths):
    write_results(result, paths)
    folder = paths.results("logreg")
    predictions, folds = (pq.read_table(folder / f"{name}.parquet") for name in ("predictions", "folds"))
    assert predictions.schema.equals(tables.ATTENTION_PREDICTIONS, check_metadata=True)
    assert folds.schema.equals(tables.ATTENTION_FOLDS, check_metadata=True)
    pd.testing.assert_frame_equal(predictions.to_pandas(), result.predictions, check_dtype=False)
    pd.testing.assert_frame_equal(folds.to_pandas(), result.folds, check_dtype=False)


def test_writing_again_gives_the_same_bytes(data, result, paths):
    write_results(result, paths)
    first = {file.name: file.read_bytes() for file in paths.results("logreg").iterdir()}
    again = cross_validate(data, ["logreg"], CrossValidationConfig(backend="sequential"))["logreg"]
    write_results(again, paths)
    assert {file.name: file.read_bytes() for file in paths.results("logreg").iterdir()} == first
    assert sorted(first) == ["folds.parquet", "metrics.json", "predictions.parquet"]


def test_a_model_that_was_not_judged_is_named(paths):
    with pytest.raises(ArtefactError, match="attention_cv/rf"):
        read_metrics(paths, "rf")


def test_a_score_that_a_fold_lacks_is_null_and_left_out_of_the_mean(data, paths):
    one_sided = dataclasses.replace(data, y=np.where(data.groups == "P03", 0, data.y))
    config = CrossValidationConfig(splitter="logo", backend="sequential")
    result = cross_validate(one_sided, ["logreg"], config)["logreg"]
    stored = write_results(result, paths)
    assert stored == json.loads((paths.results("logreg") / "metrics.json").read_text())
    values = [fold["roc_auc"] for fold in stored["folds"]]
    assert values[2] is None
    assert stored["mean"]["roc_auc"] == pytest.approx(np.mean([value for value in values if value is not None]))
    assert (stored["folds_with_score"]["roc_auc"], stored["folds_with_score"]["accuracy"]) == (9, 10)
    assert stored["protocol"]["splitter"] == "logo"
    column = pq.read_table(paths.results("logreg") / "folds.parquet")["roc_auc"]
    assert (column.null_count, column[2].as_py()) == (1, None)


def test_the_stored_protocol_is_read_back(data, paths):
    chosen = {
        "splitter": "logo",
        "seed": 3,
        "oversample": True,
        "inner_split": "stratified",
        "xgb_settings": "authors",
    }
    config = CrossValidationConfig(**chosen, backend="sequential")
    result = cross_validate(data, ["dummy"], config)["dummy"]
    write_results(result, paths)
    assert read_protocol(read_metrics(paths, "dummy")) == Protocol(**chosen)


@pytest.mark.parametrize("stored", [{}, {"protocol": {"splitter": "kfold"}}, {"protocol": {"folds": 5}}])
def test_a_protocol_of_another_version_is_refused(stored):
    with pytest.raises(ArtefactError, match="materialise attention_cv/rf again"):
        read_protocol({"model": "rf", **stored})
