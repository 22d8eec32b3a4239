import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score

from urgency_dagster.urgency.evaluation.high_urgency import high_urgency


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_every_point_is_that_of_sklearn(calls: list[tuple[float, bool]]) -> None:
    of_high, is_high = np.array([value for value, _ in calls]), np.array([high for _, high in calls])
    found = high_urgency(of_high, is_high)
    assert found["calls"] == is_high.sum()
    for point in found["curve"]:
        alarm = of_high >= point["threshold"]
        assert point["alarms"] == pytest.approx(alarm.mean())
        assert (point["precision"] is None) is (not alarm.any())
        assert (point["recall"] is None) is (not is_high.any())
        if alarm.any():
            assert point["precision"] == pytest.approx(precision_score(is_high, alarm, zero_division=0))
        if is_high.any():
            assert point["recall"] == pytest.approx(recall_score(is_high, alarm, zero_division=0))


def test_without_a_threshold_every_call_raises_an_alarm() -> None:
    first, *_, last = high_urgency(np.array([0.2, 0.9]), np.array([False, True]))["curve"]
    assert (first["threshold"], first["alarms"], first["precision"], first["recall"]) == (0.0, 1.0, 0.5, 1.0)
    assert (last["threshold"], last["alarms"], last["precision"], last["recall"]) == (1.0, 0.0, None, 0.0)
