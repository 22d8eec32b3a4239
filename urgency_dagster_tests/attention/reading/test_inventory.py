import dataclasses
import json

import numpy as np
import pytest

from urgency_dagster.attention.reading.inventory import feature_summary
from urgency_dagster.attention.reading.pickles import AttentionData


def test_features_are_counted_by_stream_statistic_and_window(data: AttentionData) -> None:
    summary = feature_summary(data)
    features = summary["features"]
    assert (summary["rows"], summary["participants"]) == (300, 10)
    assert summary["positive_rate"] == pytest.approx(data.y.mean())
    assert features["total"] == data.X.shape[1] == features["categorical"] + features["numeric"]
    assert features["categorical"] == 3
    assert features["by_stream"] == {"PIF": 1, "HRT": 17, "EDA": 17, "DST_MOT": 3, "ESM": 2}
    assert sum(features["by_statistic"].values()) == features["total"]
    assert features["by_window_s"] == {"30": 8, "300": 9, "3600": 8, "21600": 9}
    assert json.loads(json.dumps(summary)) == summary


def test_names_outside_the_grammar_are_counted(data: AttentionData) -> None:
    odd = renamed(data, {"HRT#VAL": "HRT#VAL#ImmediatePast_15"})
    assert feature_summary(odd)["features"]["outside_grammar"] == 1


def renamed(data: AttentionData, names: dict[str, str]) -> AttentionData:
    return dataclasses.replace(data, X=data.X.rename(columns=names))


def zeroed(data: AttentionData, participant: str, *prefixes: str) -> AttentionData:
    X = data.X.copy()
    columns = [str(name) for name in X if str(name).startswith(prefixes)]
    for name in columns:
        X[name] = X[name].where(data.groups != participant, 0).astype(X[name].dtype)
    return dataclasses.replace(data, X=X)


class TestMissingStreams:
    def test_no_stream_is_missing_in_complete_data(self, data: AttentionData) -> None:
        assert feature_summary(data)["missing_streams"] == {}

    def test_participants_with_nothing_but_zeros_lack_the_stream(self, data: AttentionData) -> None:
        lacking = zeroed(zeroed(data, "P03", "DST_MOT#", "HRT#"), "P05", "DST_MOT#")
        assert feature_summary(lacking)["missing_streams"] == {"HRT": ["P03"], "DST_MOT": ["P03", "P05"]}

    def test_rows_of_a_participant_need_not_be_together(self, data: AttentionData) -> None:
        lacking = zeroed(data, "P03", "HRT#")
        order = np.random.default_rng(0).permutation(len(data.y))
        mixed = dataclasses.replace(
            lacking, X=lacking.X.iloc[order].reset_index(drop=True), y=data.y[order], groups=data.groups[order]
        )
        assert feature_summary(mixed)["missing_streams"] == {"HRT": ["P03"]}

    def test_one_nonzero_value_is_enough_for_a_stream(self, data: AttentionData) -> None:
        lacking = zeroed(data, "P03", "HRT#")
        lacking.X.loc[int(np.argmax(data.groups == "P03")), "HRT#AVG#M05"] = np.float32(-1)
        assert feature_summary(lacking)["missing_streams"] == {}

    def test_streams_without_a_sensor_are_never_missing(self, data: AttentionData) -> None:
        assert feature_summary(zeroed(data, "P03", "PIF#", "ESM#"))["missing_streams"] == {}


class TestConstantWithinParticipant:
    def test_columns_about_the_participant_are_constant(self, data: AttentionData) -> None:
        assert feature_summary(data)["constant_within_participant"] == {"PIF": ["PIF#AGE"]}

    def test_a_column_that_is_the_same_for_all_is_constant_too(self, data: AttentionData) -> None:
        still = dataclasses.replace(data, X=data.X.assign(**{"EDA#VAL": np.float32(340330)}))
        assert feature_summary(still)["constant_within_participant"] == {"PIF": ["PIF#AGE"], "EDA": ["EDA#VAL"]}

    def test_a_change_in_one_participant_is_enough(self, data: AttentionData) -> None:
        X = data.X.copy()
        X.loc[int(np.argmax(data.groups == "P07")), "PIF#AGE"] = np.float32(1)
        assert feature_summary(dataclasses.replace(data, X=X))["constant_within_participant"] == {}

    def test_columns_outside_the_grammar_are_checked_too(self, data: AttentionData) -> None:
        assert feature_summary(renamed(data, {"PIF#AGE": "age"}))["constant_within_participant"] == {"": ["age"]}
