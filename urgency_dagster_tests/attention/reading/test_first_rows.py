import dataclasses

import numpy as np
import pytest

from urgency_dagster.attention.reading.first_rows import first_of_each_prompt
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.conftest import times
from urgency_dagster_tests.attention.honest import honest_data, replicated


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    return honest_data()


def test_the_earliest_row_of_each_prompt_is_kept_in_any_order(honest: AttentionData) -> None:
    data = replicated(honest)
    order = np.random.default_rng(0).permutation(len(data.y))
    shuffled = dataclasses.replace(
        data,
        X=data.X.iloc[order].reset_index(drop=True),
        y=data.y[order],
        groups=data.groups[order],
        t_s=times(data)[order],
    )
    first = first_of_each_prompt(shuffled)
    assert sorted(zip(first.groups, times(first), first.y, strict=True)) == sorted(
        zip(honest.groups, times(honest), honest.y, strict=True)
    )
    assert len(first.X) == len(honest.y)
    assert first.X.index.tolist() == list(range(len(honest.y)))
    assert first.warnings == ("1920 of 2400 rows are replicates of another row's prompt and were dropped",)


def test_without_replicates_every_row_is_kept(honest: AttentionData) -> None:
    assert first_of_each_prompt(honest).X.equals(honest.X)
    assert first_of_each_prompt(honest).warnings == ()


def test_without_times_it_is_refused(honest: AttentionData) -> None:
    with pytest.raises(AttentionError, match="the times of the rows are unknown; expected t in seconds"):
        first_of_each_prompt(dataclasses.replace(honest, t_s=None))


def test_shuffled_rows_without_times_are_kept_with_a_warning(honest: AttentionData) -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(480), 9)
    X = honest.X.iloc[rows].assign(**{"BAT_TMP#AVG#H03": rng.normal(size=480).astype("float32")[rows]})
    order = rng.permutation(len(rows))
    data = AttentionData(
        X.iloc[order].reset_index(drop=True), honest.y[rows][order], honest.groups[rows][order], None, "0" * 64
    )
    first = first_of_each_prompt(data)
    assert len(first.y) == 480
    assert first.warnings == (
        "3840 of 4320 rows are replicates of another row's prompt and were dropped",
        "the rows have no times and were shuffled: a kept row need not be the earliest of its prompt",
    )
