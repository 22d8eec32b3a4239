import pytest

from benchmarks.serve import OURS, PLAIN, ServeSize, compare_serving
from benchmarks.serve_latency import LatencySize, measure_latency

pytestmark = pytest.mark.slow

SMALL = ServeSize(requests=40, at_once=4, runs=1, memory_requests=40, replicas=0)


def test_the_benchmark_runs() -> None:
    comparison = compare_serving(SMALL)
    assert comparison.name == "serve"
    assert list(comparison.details["servers"]) == [OURS, PLAIN]
    for figures in comparison.details["servers"].values():
        assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
        assert figures["processor_ms_per_request"] > 0
    assert set(comparison.details["memory_mb"]) == {OURS, PLAIN}
    assert comparison.details["memory_ratio_after"]["ratio"] > 0


def test_the_latency_of_a_stream_is_measured() -> None:
    latency = measure_latency("torch", LatencySize(utterances=4, max_ms=800))
    assert latency.utterances == 4
    assert 0 < latency.p50_ms <= latency.p95_ms <= latency.max_ms
    assert latency.processor_ms > 0
