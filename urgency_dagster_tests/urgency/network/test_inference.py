import numpy as np

from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call


def test_the_mean_is_taken_over_each_call() -> None:
    logits = TaskLogits(np.array([[1, 0], [3, 2], [5, 5]], np.float32), np.array([[1], [2], [3]], np.float32))
    mean = mean_by_call(logits, np.array([1, 1, 0]))
    assert mean.urgency.tolist() == [[5, 5], [2, 1]]
    assert mean.sentiment.tolist() == [[3], [1.5]]
