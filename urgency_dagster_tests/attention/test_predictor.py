"""Asking an exported model: the kinds of rows, the columns that are needed, the answer, the reasons."""

import dataclasses
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from urgency_dagster.attention import Predictor, Provenance
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, Protocol
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.export.conftest import fitted

USED_BOOL, USED, UNUSED = "DST_MOT#VAL=IDLE", "HRT#AVG#M05", "EDA#AVG#H06"


def predictor_of(data: AttentionData, model: str, protocol: Protocol | None = None) -> Predictor:
    provenance = Provenance(model, "1" * 64, "0" * 64, {})
    return Predictor(fitted(data, model, protocol), provenance, 0.5, frozenset(map(str, data.X.columns)))


@pytest.fixture(scope="module")
def predictors(data: AttentionData) -> dict[str, Predictor]:
    """Each model, with a selector that keeps some columns of both kinds."""
    protocol = Protocol(selector_c=0.05)
    return {model: predictor_of(data, model, protocol) for model in MODEL_NAMES}


@pytest.fixture(scope="module")
def predictor(predictors: dict[str, Predictor]) -> Predictor:
    return predictors["lgbm"]


@pytest.fixture(scope="module")
def used(data: AttentionData, predictor: Predictor) -> pd.DataFrame:
    """Four rows of the used columns alone."""
    assert {USED_BOOL, USED} < set(predictor.used_columns)
    assert UNUSED not in predictor.used_columns
    return data.X[list(predictor.used_columns)].head(4)


def probabilities(predictor: Predictor, rows: Any) -> list[float]:
    return [row.probability for row in predictor.predict(rows).rows]


@pytest.mark.parametrize("model", MODEL_NAMES)
@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_full_rows_and_rows_of_the_used_columns_are_predicted_as_the_pipeline_does(
    data: AttentionData, predictors: dict[str, Predictor], model: str, count: int
) -> None:
    predictor, full = predictors[model], data.X.head(count)
    expected = predictor.pipeline.predict_proba(full)[:, 1].tolist()
    assert len(predictor.used_columns) < data.X.shape[1]
    reversed_ = full[list(predictor.used_columns)[::-1]]
    for rows in (full, reversed_, reversed_.to_dict("records")):
        assert probabilities(predictor, rows) == expected


@pytest.mark.parametrize("kinds", ["bf", "f"])
def test_the_model_sees_what_the_pipeline_shows_it(data: AttentionData, kinds: str) -> None:
    """The same numbers in the same memory order, which can decide the last bit of a product."""
    seen: list[np.ndarray] = []

    class Model:
        def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
            seen.append(matrix)
            return np.zeros((len(matrix), 2))

    columns = [name for name, dtype in data.X.dtypes.items() if dtype.kind in kinds]
    of_kinds = dataclasses.replace(data, X=data.X[columns])
    predictor = predictor_of(of_kinds, "logreg", Protocol(selector_c=0.05))
    watched = dataclasses.replace(predictor, pipeline=Pipeline([*predictor.pipeline.steps[:-1], ("model", Model())]))
    watched.predict(of_kinds.X)
    (matrix,), expected = seen, predictor.pipeline[:-1].transform(of_kinds.X)
    np.testing.assert_array_equal(matrix, expected)
    assert (matrix.dtype, matrix.strides) == (expected.dtype, expected.strides)


def test_a_logreg_without_the_selector_needs_every_column(data: AttentionData) -> None:
    predictor = predictor_of(data, "logreg", Protocol(select_logreg=False))
    assert sorted(predictor.used_columns) == sorted(data.X.columns)
    assert probabilities(predictor, data.X) == predictor.pipeline.predict_proba(data.X)[:, 1].tolist()


@pytest.mark.parametrize("kind", ["DataFrame", "dicts", "dict", "Parquet", "Parquet as text"])
def test_every_kind_of_rows_gives_the_same_answer(
    predictor: Predictor, used: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    used.to_parquet(tmp_path / "rows.parquet")
    rows = {
        "DataFrame": used,
        "dicts": used.to_dict("records"),
        "dict": used.iloc[0].to_dict(),
        "Parquet": tmp_path / "rows.parquet",
        "Parquet as text": str(tmp_path / "rows.parquet"),
    }[kind]
    expected = predictor.predict(used, reasons=3)
    answer = predictor.predict(rows, reasons=3)  # type: ignore[arg-type] # pandas' keys are Hashable
    assert answer.rows == expected.rows[: len(answer.rows)]
    assert len(answer.rows) == (1 if kind == "dict" else 4)


def test_the_answer_has_label_probability_threshold_and_hashes(predictor: Predictor, used: pd.DataFrame) -> None:
    strict = dataclasses.replace(predictor, threshold=0.9)
    answer = predictor.predict(used)
    assert [row.label for row in answer.rows] == [int(row.probability > 0.5) for row in answer.rows]
    assert {row.label for row in strict.predict(used).rows} == {0}
    assert (answer.threshold, strict.predict(used).threshold) == (0.5, 0.9)
    assert answer.provenance == Provenance("lgbm", "1" * 64, "0" * 64, {})
    assert answer.explanation is None
    assert all(type(row.probability) is float and type(row.label) is int for row in answer.rows)
    json.dumps(dataclasses.asdict(predictor.predict(used, reasons=2)))


def test_a_probability_at_the_threshold_is_class_0(predictor: Predictor, used: pd.DataFrame) -> None:
    (row,) = predictor.predict(used.head(1)).rows
    at = dataclasses.replace(predictor, threshold=row.probability)
    assert at.predict(used.head(1)).rows[0].label == 0


def test_the_index_comes_back(predictor: Predictor, used: pd.DataFrame) -> None:
    index = pd.Index(["P03", "P01", "P01", "P07"], name="participant")
    answer = predictor.predict(used.set_axis(index))
    assert [row.row for row in answer.rows] == index.tolist()
    frame = answer.to_frame()
    assert frame.index.tolist() == index.tolist()
    assert frame["probability"].tolist() == probabilities(predictor, used)
    assert frame.dtypes.astype(str).to_dict() == {"label": "int64", "probability": "float64"}


def test_the_index_of_a_parquet_file_is_no_column(predictor: Predictor, used: pd.DataFrame, tmp_path: Path) -> None:
    index = pd.Index(["P03", "P01", "P02", "P07"], name="participant")
    used.set_axis(index).to_parquet(tmp_path / "rows.parquet")
    answer = predictor.predict(tmp_path / "rows.parquet")
    assert [row.row for row in answer.rows] == index.tolist()
    assert answer.unknown_columns == ()


def test_missing_columns_are_counted_and_the_first_are_named(predictor: Predictor, used: pd.DataFrame) -> None:
    with pytest.raises(AttentionError, match=rf"1 columns are missing: {USED}; expected the \d+ columns that the"):
        predictor.predict(used.drop(columns=USED))
    count = len(predictor.used_columns)
    assert count > 5
    first = ", ".join(predictor.used_columns[:5])
    with pytest.raises(AttentionError, match=rf"{count} columns are missing: {first}, \.\.\.;"):
        predictor.predict(pd.DataFrame({"a": [1.0]}))


def test_a_column_that_one_dict_lacks_is_named_with_its_row(predictor: Predictor, used: pd.DataFrame) -> None:
    rows: Any = used.to_dict("records")
    del rows[2][USED]
    with pytest.raises(AttentionError, match=rf"1 columns are missing in row 2: {USED}"):
        predictor.predict(rows)


def test_unknown_columns_are_named_and_ignored(predictor: Predictor, used: pd.DataFrame, tmp_path: Path) -> None:
    rows = used.assign(participant="P01").assign(**{UNUSED: np.nan, "HRT#AVG#M5": 1.0})
    rows.to_parquet(tmp_path / "rows.parquet")
    for given_rows in (rows, rows.to_dict("records"), tmp_path / "rows.parquet"):
        answer = predictor.predict(given_rows)  # type: ignore[arg-type] # as above
        assert answer.unknown_columns == ("HRT#AVG#M5", "participant")
        assert [row.probability for row in answer.rows] == probabilities(predictor, used)
    assert predictor.predict(used).unknown_columns == ()


NUMBERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "float64": lambda rows: rows.astype("float64"),
    "bool as int": lambda rows: rows.astype({USED_BOOL: "int8"}),
    "nullable": lambda rows: rows.convert_dtypes(),
    "Arrow": lambda rows: rows.convert_dtypes(dtype_backend="pyarrow"),
    "object": lambda rows: rows.astype(object),
}


@pytest.mark.parametrize("change", NUMBERS.values(), ids=NUMBERS.keys())
def test_the_same_values_of_other_types_give_the_same_answer(
    predictor: Predictor, used: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    assert probabilities(predictor, change(used)) == probabilities(predictor, used)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (USED, "70", "1 columns are not numeric: "),
        (USED, Decimal(1), "1 columns are not numeric: "),
        (USED, [70.0], "1 columns are not numeric: "),
        (USED, pd.Timestamp("2019-05-01"), "1 columns are not numeric: "),
        (USED, 1j, "1 columns are not numeric: "),
        (USED, None, "1 columns hold NaN or infinity: "),
        (USED, pd.NA, "1 columns hold NaN or infinity: "),
        (USED, float("nan"), "1 columns hold NaN or infinity: "),
        (USED, float("-inf"), "1 columns hold NaN or infinity: "),
        (USED, 1e300, "1 columns hold NaN or infinity: "),
        (USED, 10**400, "1 columns hold NaN or infinity: "),
        (USED_BOOL, 2, "1 columns hold values other than 0 and 1: "),
        (USED_BOOL, None, "1 columns hold values other than 0 and 1: "),
        (USED_BOOL, "True", "1 columns are not numeric: "),
    ],
)
def test_an_unusable_value_is_refused_with_its_column(
    predictor: Predictor, used: pd.DataFrame, column: str, value: Any, said: str
) -> None:
    rows: Any = used.to_dict("records")
    rows[1][column] = value
    with pytest.raises(AttentionError, match=f"{said}{column};"):
        predictor.predict(rows)
    frame = used.astype({column: object})
    frame.iat[1, frame.columns.get_loc(column)] = value  # type: ignore[index] # the name occurs once
    with pytest.raises(AttentionError, match=f"{said}{column};"):
        predictor.predict(frame)


@pytest.mark.parametrize("dtype", ["Float64", "float64[pyarrow]"])
def test_a_missing_value_of_a_nullable_column_is_refused(predictor: Predictor, used: pd.DataFrame, dtype: Any) -> None:
    rows = used.astype({USED: dtype})
    rows.loc[rows.index[1], USED] = pd.NA
    with pytest.raises(AttentionError, match=f"1 columns hold NaN or infinity: {USED};"):
        predictor.predict(rows)


def test_a_column_that_occurs_twice_is_refused_only_if_it_is_used(
    data: AttentionData, predictor: Predictor, used: pd.DataFrame
) -> None:
    with pytest.raises(AttentionError, match=f"1 columns occur more than once: {USED}"):
        predictor.predict(pd.concat([used, used[[USED]]], axis=1))
    twice = pd.concat([data.X, data.X[[UNUSED]]], axis=1).head(4)
    assert probabilities(predictor, twice) == probabilities(predictor, used)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((2, 5)), "the rows are a ndarray; expected a DataFrame, a dict or a list of dicts"),
        ([[1.0, 2.0]], "the rows are a list"),
        (iter([]), "the rows are a list_iterator"),
        (None, "the rows are a NoneType"),
        (1.0, "the rows are a float"),
        ([], "no row"),
        (pd.Series([1.0]), "the rows are a Series"),
    ],
)
def test_other_rows_are_refused(predictor: Predictor, rows: Any, said: str) -> None:
    with pytest.raises(AttentionError, match=said):
        predictor.predict(rows)


def test_no_rows_and_unreadable_files_are_refused(predictor: Predictor, used: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(AttentionError, match="no row"):
        predictor.predict(used.head(0))
    with pytest.raises(AttentionError, match=r"there is no file rows\.parquet"):
        predictor.predict(tmp_path / "rows.parquet")
    used.to_csv(tmp_path / "rows.csv")
    with pytest.raises(AttentionError, match=r"rows\.csv cannot be read as Parquet"):
        predictor.predict(tmp_path / "rows.csv")
    used.drop(columns=USED).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(AttentionError, match=f"1 columns are missing: {USED}"):
        predictor.predict(tmp_path / "rows.parquet")


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_the_reasons_are_the_features_with_the_largest_contributions(
    data: AttentionData, predictors: dict[str, Predictor], model: str
) -> None:
    predictor = predictors[model]
    every, three = (predictor.predict(data.X, reasons=count) for count in (999, 3))
    assert every.explanation is not None
    assert every.explanation == three.explanation
    for row, short in zip(every.rows, three.rows, strict=True):
        sizes = [abs(reason.contribution) for reason in row.reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert min(sizes) > 0
        assert short.reasons == row.reasons[:3]
        assert isinstance(row.row, int)
        given_values = data.X.iloc[row.row].to_dict()
        assert all(reason.value == given_values[reason.feature] for reason in row.reasons)


def test_reasons_below_0_are_refused(predictor: Predictor, used: pd.DataFrame) -> None:
    with pytest.raises(AttentionError, match="-1 reasons"):
        predictor.predict(used, reasons=-1)
    assert predictor.predict(used, reasons=0) == predictor.predict(used)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_feature_that_rises_with_the_label_speaks_for_class_1_when_it_is_high(
    data: AttentionData, predictors: dict[str, Predictor], model: str
) -> None:
    rows = [data.X.iloc[0].to_dict() | {USED: value} for value in (-30.0, 30.0)]
    low, high = (
        next(reason for reason in row.reasons if reason.feature == USED)
        for row in predictors[model].predict(rows, reasons=999).rows  # type: ignore[arg-type] # as above
    )
    assert (low.value, high.value) == (-30, 30)
    assert low.contribution < 0 < high.contribution


@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.binary(), st.lists(st.floats())
    )
)
def test_any_value_is_predicted_or_refused(data: AttentionData, predictor: Predictor, value: Any) -> None:
    """Whatever a value is, the answer is a probability or an AttentionError."""
    row: Any = {**data.X.iloc[0].to_dict(), USED: value}
    try:
        (answer,) = predictor.predict(row, reasons=1).rows
    except AttentionError:
        return
    assert 0 <= answer.probability <= 1


def test_asking_changes_no_row_and_no_model(data: AttentionData, predictors: dict[str, Predictor]) -> None:
    for predictor in predictors.values():
        before = data.X.copy()
        first = predictor.pipeline.predict_proba(data.X)
        predictor.predict(data.X, reasons=2)
        pd.testing.assert_frame_equal(data.X, before)
        np.testing.assert_array_equal(predictor.pipeline.predict_proba(data.X), first)
