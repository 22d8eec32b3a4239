from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.reading.dropping import without_columns
from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.sandbox import FeatureConfig, import_pickle
from urgency_dagster.errors import AttentionError
from urgency_dagster.paths import AttentionPaths

X = pd.DataFrame(np.zeros((2, 4), "float32"), columns=["ESM#LIK#H06", "ESM#LIK=0#H06", "a[0]", "HRT#VAL"])


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ([], list(X.columns)),
        (["ESM#LIK*"], ["a[0]", "HRT#VAL"]),
        (["a[0]", "HRT#VAL"], ["ESM#LIK#H06", "ESM#LIK=0#H06"]),
        (["ESM#LIK#???"], ["ESM#LIK=0#H06", "a[0]", "HRT#VAL"]),
    ],
)
def test_names_and_patterns_are_left_out(patterns: list[str], left: list[str]) -> None:
    assert without_columns(X, patterns).columns.tolist() == left


@pytest.mark.parametrize(
    ("patterns", "said"),
    [(["ESM#*", "hrt#*"], "'hrt#\\*' matches none of 4 columns"), (["*"], "drops all 4 columns")],
)
def test_what_drops_nothing_or_everything_is_refused(patterns: list[str], said: str) -> None:
    with pytest.raises(AttentionError, match=said):
        without_columns(X, patterns)


@pytest.mark.slow
def test_a_column_that_cannot_be_read_may_be_dropped(
    data: AttentionData,
    as_tuple: Callable[..., tuple[object, ...]],
    write_pickle: Callable[..., Path],
    paths: AttentionPaths,
) -> None:
    path = write_pickle(as_tuple(X=data.X.assign(remark="text")))
    summary = import_pickle(path, paths, FeatureConfig(drop_columns=("remark", "ESM#LIK#*")))
    assert summary["features"]["total"] == data.X.shape[1] - 1
    assert "ESM#LIK#H06" not in read_features(paths).X.columns
