import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.overlap import copied_rows, overlap_findings
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.folds import split_folds
from urgency_dagster.attention.validation.protocol import CrossValidationConfig
from urgency_dagster_tests.attention.conftest import times
from urgency_dagster_tests.attention.honest import honest_data, replicated


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    return honest_data()


def predictions(data: AttentionData, fold: Any = None) -> pd.DataFrame:
    """As many rows as are stored, with honest folds unless others are given."""
    if fold is None:
        fold = np.zeros(len(data.y), dtype=int)
        for part in split_folds(data.y, data.groups, CrossValidationConfig()):
            fold[part.test] = part.number
    return pd.DataFrame({"row": range(len(data.y)), "fold": fold, "participant": data.groups, "y": data.y})


def kinds(data: AttentionData, **tables: pd.DataFrame) -> dict[FindingKind, Finding]:
    return {finding.kind: finding for finding in overlap_findings(data, tables or {"rf": predictions(data)})}


def copied(data: AttentionData, rows: np.ndarray, groups: np.ndarray) -> AttentionData:
    """The data with some of its rows a second time, under other participants."""
    return dataclasses.replace(
        data,
        X=pd.concat([data.X, data.X.iloc[rows.tolist()]], ignore_index=True),
        y=np.concatenate([data.y, data.y[rows]]),
        groups=np.concatenate([data.groups, groups]),
        t_s=np.concatenate([times(data), times(data)[rows] + 1e6]),
    )


def test_honest_data_and_folds_do_not_overlap(honest: AttentionData) -> None:
    assert kinds(honest) == {}


def test_a_participant_on_both_sides_is_certain(honest: AttentionData) -> None:
    fold = predictions(honest)["fold"].to_numpy().copy()
    fold[3] = fold[3] % 5 + 1
    found = kinds(honest, rf=predictions(honest), xgb=predictions(honest, fold))
    assert set(found) == {FindingKind.PARTICIPANT_IN_TWO_FOLDS}
    finding = found[FindingKind.PARTICIPANT_IN_TWO_FOLDS]
    assert (finding.level, finding.names, finding.count) == (Level.CERTAIN, ("P00",), 1)


def test_folds_by_row_overlap_for_every_participant(honest: AttentionData) -> None:
    by_row = predictions(honest, np.arange(len(honest.y)) % 5 + 1)
    assert kinds(honest, rf=by_row)[FindingKind.PARTICIPANT_IN_TWO_FOLDS].count == 12


def test_copies_under_another_name_in_another_fold_are_certain(honest: AttentionData) -> None:
    rows = np.arange(10)
    data = copied(honest, rows, np.repeat("Q1", 10))
    fold = np.where(np.isin(data.groups, ["P00", "P01", "P02"]), 1, 2)
    finding = kinds(data, rf=predictions(data, fold))[FindingKind.COPY_IN_TWO_FOLDS]
    assert (finding.level, finding.count) == (Level.CERTAIN, 20)
    assert finding.figures == {"distinct_rows": 10, "crossing": 10}


def test_copies_in_one_fold_are_suspicious(honest: AttentionData) -> None:
    data = copied(honest, np.arange(10), honest.groups[:10])
    finding = kinds(data)[FindingKind.COPIES]
    assert (finding.level, finding.figures) == (Level.SUSPICION, {"distinct_rows": 10, "crossing": 0})


def test_copies_may_have_other_times_and_label_histories_but_no_other_label(honest: AttentionData) -> None:
    data = copied(honest, np.arange(4), np.repeat("Q1", 4))
    data.X.loc[len(honest.y) :, "ESM#LIK#H06"] = np.float32(0.123)
    assert sorted(copied_rows(data).index) == [0, 1, 2, 3, 480, 481, 482, 483]
    data.y[480] = 1 - data.y[480]
    assert sorted(copied_rows(data).index) == [1, 2, 3, 481, 482, 483]


def test_equal_rows_of_zeros_are_not_copies(honest: AttentionData) -> None:
    X = honest.X.copy()
    X.iloc[:9, :30] = np.float32(0)
    assert copied_rows(dataclasses.replace(honest, X=X)).empty


def test_columns_that_never_change_do_not_make_rows_copies(honest: AttentionData) -> None:
    constant = honest.X.select_dtypes("float32").columns
    X = honest.X.assign(**{name: np.float32(n + 1) for n, name in enumerate(constant)})
    assert copied_rows(dataclasses.replace(honest, X=X)).empty


def test_replicated_prompts_are_suspicious_and_counted(honest: AttentionData) -> None:
    found = kinds(replicated(honest))
    assert set(found) == {FindingKind.REPLICATED_PROMPTS}
    finding = found[FindingKind.REPLICATED_PROMPTS]
    assert finding.level == Level.SUSPICION
    assert finding.figures == {"share": pytest.approx(0.8), "prompts": 480}
    assert finding.count == 4 * 480


def test_replicated_prompts_without_times_are_suspicious_and_counted(honest: AttentionData) -> None:
    (finding,) = kinds(dataclasses.replace(replicated(honest), t_s=None)).values()
    assert (finding.level, finding.kind) == (Level.SUSPICION, FindingKind.REPLICATED_PROMPTS)
    assert finding.figures == {"share": pytest.approx(0.8), "prompts": 480}


def test_honest_data_without_times_have_no_replicates(honest: AttentionData) -> None:
    assert kinds(dataclasses.replace(honest, t_s=None)) == {}
