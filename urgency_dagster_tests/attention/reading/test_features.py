import dataclasses

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from urgency_dagster.attention import tables
from urgency_dagster.attention.reading.features import read_features, write_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster_tests.attention.conftest import times


def test_written_features_are_read_back(data: AttentionData, paths: AttentionPaths) -> None:
    warned = dataclasses.replace(data, warnings=("t was dropped",))
    write_features(warned, paths)
    read = read_features(paths)
    pd.testing.assert_frame_equal(read.X, data.X)
    np.testing.assert_array_equal(read.y, data.y)
    np.testing.assert_array_equal(read.groups, data.groups)
    np.testing.assert_array_equal(read.t_s, data.t_s)
    assert (read.source_sha256, read.warnings) == (data.source_sha256, ("t was dropped",))
    assert pq.read_schema(paths.samples).equals(tables.ATTENTION_SAMPLES)


def test_unknown_times_stay_unknown(data: AttentionData, paths: AttentionPaths) -> None:
    write_features(dataclasses.replace(data, t_s=None), paths)
    assert read_features(paths).t_s is None


def test_names_outside_the_grammar_are_kept(data: AttentionData, paths: AttentionPaths) -> None:
    odd = dataclasses.replace(data, X=data.X.rename(columns={"HRT#VAL": "HRT#VAL#ImmediatePast_15"}))
    write_features(odd, paths)
    assert "HRT#VAL#ImmediatePast_15" in read_features(paths).X


def test_the_same_data_gives_the_same_bytes(data: AttentionData, paths: AttentionPaths) -> None:
    files = (paths.features, paths.samples, paths.summary)
    write_features(data, paths)
    first = [file.read_bytes() for file in files]
    write_features(data, paths)
    assert [file.read_bytes() for file in files] == first


@pytest.mark.parametrize("missing", ["features", "samples", "summary"])
def test_a_missing_file_is_named(data: AttentionData, paths: AttentionPaths, missing: str) -> None:
    write_features(data, paths)
    getattr(paths, missing).unlink()
    with pytest.raises(ArtefactError, match=getattr(paths, missing).name):
        read_features(paths)


def test_files_of_different_data_are_refused(data: AttentionData, paths: AttentionPaths) -> None:
    write_features(data, paths)
    kept = paths.samples.read_bytes()
    half = dataclasses.replace(
        data, X=data.X.iloc[:150], y=data.y[:150], groups=data.groups[:150], t_s=times(data)[:150]
    )
    write_features(half, paths)
    paths.samples.write_bytes(kept)
    with pytest.raises(ArtefactError, match="300 samples"):
        read_features(paths)


def test_stored_values_are_checked_again(data: AttentionData, paths: AttentionPaths) -> None:
    write_features(dataclasses.replace(data, X=data.X.assign(**{"HRT#VAL": np.float32("nan")})), paths)
    with pytest.raises(AttentionError, match="NaN"):
        read_features(paths)
