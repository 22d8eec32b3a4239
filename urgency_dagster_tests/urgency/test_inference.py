import numpy as np
import pyarrow as pa

from urgency_dagster.urgency.inference import TaskLogits, call_codes, first_rows, mean_by_call


def test_the_mean_is_taken_over_each_call():
    logits = TaskLogits(np.array([[1, 0], [3, 2], [5, 5]], np.float32), np.array([[1], [2], [3]], np.float32))
    mean = mean_by_call(logits, np.array([1, 1, 0]))
    assert mean.urgency.tolist() == [[5, 5], [2, 1]]
    assert mean.sentiment.tolist() == [[3], [1.5]]


def test_calls_are_numbered_as_they_appear():
    rows = pa.table({"_id": pa.chunked_array([["b", "b"], ["a", "b", "c"]])})
    assert call_codes(rows).tolist() == [0, 0, 1, 0, 2]
    assert first_rows(call_codes(rows)).tolist() == [0, 2, 4]
