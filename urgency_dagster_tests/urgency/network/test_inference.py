import numpy as np

from urgency_dagster.urgency.network.inference import RunningMean, TaskLogits, mean_by_call


def test_the_mean_is_taken_over_each_call() -> None:
    logits = TaskLogits(np.array([[1, 0], [3, 2], [5, 5]], np.float32), np.array([[1], [2], [3]], np.float32))
    mean = mean_by_call(logits, np.array([1, 1, 0]))
    assert mean.urgency.tolist() == [[5, 5], [2, 1]]
    assert mean.sentiment.tolist() == [[3], [1.5]]


def test_a_running_mean_is_the_mean_of_the_call() -> None:
    rng, running = np.random.default_rng(0), RunningMean()
    logits = TaskLogits(rng.normal(size=(9, 3)).astype(np.float32), rng.normal(size=(9, 2)).astype(np.float32))
    for start, end in ((0, 1), (1, 5), (5, 9)):
        running.add(TaskLogits(logits.urgency[start:end], logits.sentiment[start:end]))
        mean = mean_by_call(TaskLogits(logits.urgency[:end], logits.sentiment[:end]), np.zeros(end, np.int64))
        assert running.count == end
        np.testing.assert_allclose(running.logits.urgency, mean.urgency, rtol=1e-6)
        np.testing.assert_allclose(running.logits.sentiment, mean.sentiment, rtol=1e-6)
