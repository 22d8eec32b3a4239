import dataclasses
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_1samp

from urgency_dagster.attention import tables
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.metrics import participant_table
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, ModelResult, Protocol
from urgency_dagster.attention.validation.results import read_metrics, read_protocol, read_result_table, write_results
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths


@pytest.fixture(scope="module")
def result(data: AttentionData) -> ModelResult:
    return cross_validate(data, ["logreg"], CrossValidationConfig(backend="sequential"))["logreg"]


def test_the_metrics_file_holds_folds_and_their_mean(result: ModelResult, paths: AttentionPaths) -> None:
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
    assert stored["protocol"] == Protocol().model_dump()
    assert stored["protocol"]["rf_max_depth"] == 5


def test_the_tables_have_their_schemas_and_values(result: ModelResult, paths: AttentionPaths) -> None:
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


def test_every_score_has_its_intervals(result: ModelResult, paths: AttentionPaths) -> None:
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


def test_the_training_rows_are_scored_too(result: ModelResult, paths: AttentionPaths) -> None:
    stored = write_results(result, paths)
    assert stored["train_mean"].keys() == stored["mean"].keys()
    assert stored["train_mean"]["f1_macro"] > stored["mean"]["f1_macro"]
    assert stored["train_mean"]["f1_macro"] == pytest.approx(result.folds["train_f1_macro"].mean())


def test_a_participant_with_one_class_has_no_auroc(result: ModelResult, paths: AttentionPaths) -> None:
    changed = dataclasses.replace(result, predictions=result.predictions.copy())
    first = changed.predictions["participant"] == "P01"
    changed.predictions.loc[first, "y"] = 1
    write_results(changed, paths)
    table = read_result_table(paths, "logreg", "participants.parquet").set_index("participant")
    assert table["roc_auc"].isna()["P01"]
    assert table["f1_macro"].isna()["P01"]
    assert table.loc["P01", "majority_share"] == 1
    assert table["roc_auc"].notna().sum() == 9


def test_writing_again_gives_the_same_bytes(data: AttentionData, result: ModelResult, paths: AttentionPaths) -> None:
    write_results(result, paths)
    first = {file.name: file.read_bytes() for file in paths.results("logreg").iterdir()}
    again = cross_validate(data, ["logreg"], CrossValidationConfig(backend="sequential"))["logreg"]
    write_results(again, paths)
    assert {file.name: file.read_bytes() for file in paths.results("logreg").iterdir()} == first
    assert sorted(first) == [
        "bootstrap.parquet",
        "folds.parquet",
        "importances.parquet",
        "metrics.json",
        "participants.parquet",
        "predictions.parquet",
    ]


def test_a_model_that_was_not_cross_validated_is_named(paths: AttentionPaths) -> None:
    with pytest.raises(ArtefactError, match="attention_cv/rf"):
        read_metrics(paths, "rf")
    with pytest.raises(ArtefactError, match=r"rf has no folds.parquet"):
        read_result_table(paths, "rf", "folds.parquet")


def test_an_undefined_score_of_a_fold_is_null_and_left_out_of_the_mean(
    data: AttentionData, paths: AttentionPaths
) -> None:
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


def test_the_stored_protocol_is_read_back(data: AttentionData, paths: AttentionPaths) -> None:
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


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"protocol": {**Protocol().model_dump(), "splitter": "kfold"}},
        {"protocol": {**Protocol().model_dump(), "folds": 5}},
        # Before `rf_max_depth` was an option, the random forest had no maximum depth.
        {"protocol": {"splitter": "stratified_group", "n_splits": 5, "seed": 42}},
    ],
)
def test_a_protocol_of_another_version_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(ArtefactError, match="materialize attention_cv/rf again"):
        read_protocol({"model": "rf", **stored})
