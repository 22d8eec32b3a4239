import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from urgency_dagster import tables
from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.protocol import CrossValidationConfig
from urgency_dagster.attention.results import read_metrics, write_results
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
