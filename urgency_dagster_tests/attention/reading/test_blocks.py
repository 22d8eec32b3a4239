import dataclasses

import numpy as np
import pytest

from urgency_dagster.attention.reading.blocks import block_numbers
from urgency_dagster.attention.reading.first_rows import first_of_each_prompt
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster_tests.attention.honest import honest_data


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    return dataclasses.replace(honest_data(), t_s=None)


def replicated_rows(data: AttentionData, copies: np.ndarray) -> tuple[AttentionData, np.ndarray]:
    """Each prompt so many times, with new noise in every column, and the prompt of each row."""
    rows = np.repeat(np.arange(len(data.y)), copies)
    X = data.X.iloc[rows].reset_index(drop=True)
    numeric = X.select_dtypes("float32").columns
    X[numeric] = np.random.default_rng(0).normal(size=(len(X), len(numeric))).astype("float32")
    return dataclasses.replace(data, X=X, y=data.y[rows], groups=data.groups[rows]), rows


def numbers(data: AttentionData) -> np.ndarray | None:
    return block_numbers(data.X, data.y, data.groups)


def test_runs_of_labels_with_a_common_factor_are_replicates(honest: AttentionData) -> None:
    data, prompts = replicated_rows(honest, np.full(480, 21))
    np.testing.assert_array_equal(numbers(data), prompts)


@pytest.mark.parametrize("kind", ["equal", "interpolated"])
def test_a_column_that_is_equal_or_interpolated_within_prompts(honest: AttentionData, kind: str) -> None:
    rng = np.random.default_rng(1)
    data, prompts = replicated_rows(honest, rng.integers(3, 9, 480))
    values = rng.normal(size=480)[prompts]
    if kind == "interpolated":
        values += rng.normal(size=480)[prompts] * (np.arange(len(prompts)) - np.searchsorted(prompts, prompts))
    X = data.X.assign(**{"BAT_TMP#AVG#H03": values.astype("float32")})
    found = numbers(dataclasses.replace(data, X=X))
    assert found is not None
    np.testing.assert_array_equal(found, prompts)


def shuffled_rows(data: AttentionData, prompts: np.ndarray) -> tuple[AttentionData, np.ndarray]:
    """Nine tenths of the rows in a random order, as the original's `train_test_split` leaves them."""
    order = np.random.default_rng(7).permutation(len(prompts))[: len(prompts) * 9 // 10]
    X = data.X.iloc[order].reset_index(drop=True)
    return dataclasses.replace(data, X=X, y=data.y[order], groups=data.groups[order]), prompts[order]


@pytest.mark.parametrize("kind", ["equal", "interpolated"])
def test_replicates_are_found_in_any_order_of_the_rows(honest: AttentionData, kind: str) -> None:
    rng = np.random.default_rng(1)
    data, prompts = replicated_rows(honest, rng.integers(8, 20, 480))
    values = rng.normal(size=480)[prompts]
    if kind == "interpolated":
        values += 1e-4 * rng.uniform(1, 2, 480)[prompts] * (np.arange(len(prompts)) - np.searchsorted(prompts, prompts))
    X = data.X.assign(**{"BAT_TMP#AVG#H03": values.astype("float64" if kind == "interpolated" else "float32")})
    data, prompts = shuffled_rows(dataclasses.replace(data, X=X), prompts)
    found = numbers(data)
    assert found is not None
    if kind == "equal":
        assert len(np.unique(found)) == len(np.unique(prompts))
    # No block holds rows of two prompts, but for lines that meet by chance. A missing copy cuts a line.
    prompts_of_block = len({*zip(found.tolist(), prompts.tolist(), strict=True)})
    assert prompts_of_block <= 1.01 * len(np.unique(found))
    assert len(np.unique(found)) < 0.5 * len(prompts)


@pytest.mark.parametrize("levels", [2, 4])
def test_a_column_that_tells_the_label_is_no_sign_of_replicates(honest: AttentionData, levels: int) -> None:
    """Its equal values have one label too; it has few of them."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(honest.y))
    told = honest.y * (levels // 2) + rng.integers(0, levels // 2, len(honest.y))
    data = dataclasses.replace(honest, X=honest.X.assign(**{"HRT#TOLD": told.astype("float32")}))
    turned = dataclasses.replace(data, X=data.X.iloc[order], y=data.y[order], groups=data.groups[order])
    assert numbers(turned) is None


def paired(honest: AttentionData, y: np.ndarray, pairs: int) -> AttentionData:
    """The rows in a random order, with a column in which so many pairs of a participant's rows are equal."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=480).astype("float32")
    for person in range(12):
        rows = 40 * person + np.argsort(y[40 * person : 40 * (person + 1)], kind="stable")
        values[rows[1 : 2 * pairs : 2]] = values[rows[: 2 * pairs : 2]]
    order = rng.permutation(480)
    X = honest.X.assign(**{"BAT_TMP#AVG#H03": values}).iloc[order]
    return dataclasses.replace(honest, X=X, y=y[order], groups=honest.groups[order])


@pytest.mark.parametrize(("rare", "pairs", "found"), [(20, 20, True), (2, 20, False), (20, 9, False)])
def test_equal_values_must_be_many_and_of_labels_that_differ(
    honest: AttentionData, rare: int, pairs: int, found: bool
) -> None:
    """With two zeros among forty labels, most pairs have one label by chance. Replication covers every prompt."""
    y = (np.arange(480) % 40 >= rare).astype(np.int64)
    assert (numbers(paired(honest, y, pairs)) is not None) == found


@pytest.mark.parametrize("seed", range(5))
def test_honest_rows_in_a_random_order_are_no_replicates(seed: int) -> None:
    data = honest_data(seed=seed, persistence=0.9)
    order = np.random.default_rng(seed).permutation(len(data.y))
    steps = np.round(data.X["HRT#AVG#1"].to_numpy(), 1).astype("float32")
    X = data.X.assign(**{"HRT#AVG#1": steps, "CNT#SUM": np.arange(len(steps), dtype="float32")}).iloc[order]
    assert block_numbers(X, data.y[order], data.groups[order]) is None


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("persistence", [0.0, 0.9])
def test_honest_rows_are_no_replicates(seed: int, persistence: float) -> None:
    data = honest_data(seed=seed, persistence=persistence)
    idle = np.repeat(np.random.default_rng(seed).random(96) < 0.7, 5)
    X = data.X.assign(**{"ULV#AVG#H01": np.where(idle, 0, data.X["HRT#AVG#1"]).astype("float32")})
    assert block_numbers(X, data.y, data.groups) is None


def test_rows_sorted_by_label_are_no_replicates(honest: AttentionData) -> None:
    order = np.lexsort((honest.y, honest.groups))
    assert block_numbers(honest.X.iloc[order], honest.y[order], honest.groups[order]) is None


def test_the_first_row_of_each_block_is_kept(honest: AttentionData) -> None:
    data, prompts = replicated_rows(honest, np.full(480, 21))
    first = first_of_each_prompt(data)
    assert len(first.y) == 480
    np.testing.assert_array_equal(first.X.to_numpy(), data.X.iloc[np.searchsorted(prompts, np.arange(480))].to_numpy())
