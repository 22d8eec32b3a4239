import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.urgency.evaluation.calibration import abstention


class TestAbstention:
    PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])

    def test_the_least_confident_calls_are_deferred_first(self) -> None:
        found = abstention(self.PROBABILITIES, np.array([0, 0, 0, 1]), BootstrapConfig(100, 0), rates=(0.0, 0.25, 0.5))
        assert [point["accuracy"] for point in found] == [0.75, 1, 1]
        assert [point["to_person"] for point in found] == [0, 0.25, 0.5]
        assert [point["confidence"] for point in found] == [0.6, 0.7, 0.8]
        assert [point["accuracy_interval"] for point in found] == [[0.25, 1], [1, 1], [1, 1]]

    def test_at_least_one_call_remains(self) -> None:
        (only,) = abstention(self.PROBABILITIES[:1], np.array([0]), BootstrapConfig(10, 0), rates=(0.9,))
        assert only == {"to_person": 0, "accuracy": 1, "accuracy_interval": [1, 1], "confidence": 0.9}
