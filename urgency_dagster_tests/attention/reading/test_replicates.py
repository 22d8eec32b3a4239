import dataclasses

import numpy as np
import pytest

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import prompt_numbers, replicated_share
from urgency_dagster_tests.attention.conftest import times
from urgency_dagster_tests.attention.honest import honest_data, replicated


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    return honest_data()


def test_prompts_far_apart_have_different_numbers(honest: AttentionData) -> None:
    assert replicated_share(honest, times(honest)) == 0
    assert len(np.unique(prompt_numbers(honest, times(honest)))) == len(honest.y)


def test_replicates_have_the_number_of_their_prompt_in_any_order_of_rows(honest: AttentionData) -> None:
    data = replicated(honest)
    shuffled = np.random.default_rng(0).permutation(len(data.y))
    turned = dataclasses.replace(data, y=data.y[shuffled], groups=data.groups[shuffled], t_s=times(data)[shuffled])
    assert replicated_share(turned, times(turned)) == pytest.approx(0.8)
    numbers = prompt_numbers(turned, times(turned))
    expected = np.repeat(np.arange(len(honest.y)), 5)[shuffled]
    assert len(np.unique(numbers)) == len(honest.y)
    assert len({*zip(numbers.tolist(), expected.tolist(), strict=True)}) == len(honest.y)


def test_a_few_close_answers_are_not_replicates(honest: AttentionData) -> None:
    near = times(honest).copy()
    near[1:480:20] = near[0:480:20] + 60
    assert 0.02 < replicated_share(honest, near) < 0.05
    assert len(np.unique(prompt_numbers(honest, near))) == len(honest.y)
