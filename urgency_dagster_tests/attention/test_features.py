import dataclasses

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster import tables
from urgency_dagster.attention.features import (
    WINDOW_S,
    FeatureName,
    parse_feature_name,
    read_features,
    write_features,
)
from urgency_dagster.errors import ArtefactError, AttentionError

PART = st.text(st.characters(codec="utf-8", exclude_characters="#=\n", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("HRT#VAL", FeatureName("HRT", "VAL")),
        ("HRT#AVG#M05", FeatureName("HRT", "AVG", None, 300)),
        ("bpm#AVG#60", FeatureName("bpm", "AVG", None, 60)),
        ("DST_MOT#VAL=IDLE", FeatureName("DST_MOT", "VAL", "IDLE")),
        ("DST_MOT#DUR=WALKING#H06", FeatureName("DST_MOT", "DUR", "WALKING", 21_600)),
        ("PIF#BFI_OPN", FeatureName("PIF", "BFI_OPN")),
        ("ESM#LIK#H24", FeatureName("ESM", "LIK", None, 86_400)),
        ("ESM#HRN=LATE_AFTERNOON", FeatureName("ESM", "HRN", "LATE_AFTERNOON")),
    ],
)
def test_the_grammar(name, parts):
    assert parse_feature_name(name) == parts


@pytest.mark.parametrize(
    "name",
    ["HRT", "", "#VAL", "HRT#", "HRT#AVG#X99", "HRT#AVG#0", "HRT#AVG#M05#M05", "HRT#AVG#ImmediatePast_15", "A#V=#M05"],
)
def test_other_names_are_outside_it(name):
    assert parse_feature_name(name) is None


@given(PART, PART, st.none() | PART, st.none() | st.sampled_from(sorted(WINDOW_S)) | st.integers(1, 10**6))
def test_any_name_made_by_the_grammar_is_taken_apart_again(stream, statistic, value, window):
    name = f"{stream}#{statistic}" + (f"={value}" if value else "") + (f"#{window}" if window else "")
    seconds = WINDOW_S[window] if isinstance(window, str) else window
    assert parse_feature_name(name) == FeatureName(stream, statistic, value, seconds)


def test_what_is_written_is_read(data, paths):
    warned = dataclasses.replace(data, warnings=("t was dropped",))
    write_features(warned, paths)
    read = read_features(paths)
    pd.testing.assert_frame_equal(read.X, data.X)
    np.testing.assert_array_equal(read.y, data.y)
    np.testing.assert_array_equal(read.groups, data.groups)
    np.testing.assert_array_equal(read.t_s, data.t_s)
    assert (read.source_sha256, read.warnings) == (data.source_sha256, ("t was dropped",))
    assert pq.read_schema(paths.samples).equals(tables.ATTENTION_SAMPLES)


def test_unknown_times_stay_unknown(data, paths):
    write_features(dataclasses.replace(data, t_s=None), paths)
    assert read_features(paths).t_s is None


def test_the_summary_counts(data, paths):
    summary = write_features(data, paths)
    features = summary["features"]
    assert (summary["rows"], summary["participants"]) == (300, 10)
    assert summary["positive_rate"] == pytest.approx(data.y.mean())
    assert features["total"] == data.X.shape[1] == features["categorical"] + features["numeric"]
    assert features["categorical"] == 3
    assert features["by_stream"] == {"PIF": 1, "HRT": 17, "EDA": 17, "DST_MOT": 3, "ESM": 2}
    assert sum(features["by_statistic"].values()) == features["total"]
    assert features["by_window_s"] == {"30": 8, "300": 9, "3600": 8, "21600": 9}


def test_names_outside_the_grammar_are_counted_and_kept(data, paths):
    odd = dataclasses.replace(data, X=data.X.rename(columns={"HRT#VAL": "HRT#VAL#ImmediatePast_15"}))
    assert write_features(odd, paths)["features"]["outside_grammar"] == 1
    assert "HRT#VAL#ImmediatePast_15" in read_features(paths).X


def test_the_same_data_gives_the_same_bytes(data, paths):
    files = (paths.features, paths.samples, paths.summary)
    write_features(data, paths)
    first = [file.read_bytes() for file in files]
    write_features(data, paths)
    assert [file.read_bytes() for file in files] == first


@pytest.mark.parametrize("missing", ["features", "samples", "summary"])
def test_a_missing_file_is_named(data, paths, missing):
    write_features(data, paths)
    getattr(paths, missing).unlink()
    with pytest.raises(ArtefactError, match=getattr(paths, missing).name):
        read_features(paths)


def test_files_of_different_data_are_refused(data, paths):
    write_features(data, paths)
    kept = paths.samples.read_bytes()
    half = dataclasses.replace(data, X=data.X.iloc[:150], y=data.y[:150], groups=data.groups[:150], t_s=data.t_s[:150])
    write_features(half, paths)
    paths.samples.write_bytes(kept)
    with pytest.raises(ArtefactError, match="300 samples"):
        read_features(paths)


def test_stored_values_are_checked_again(data, paths):
    write_features(dataclasses.replace(data, X=data.X.assign(**{"HRT#VAL": np.float32("nan")})), paths)
    with pytest.raises(AttentionError, match="NaN"):
        read_features(paths)
