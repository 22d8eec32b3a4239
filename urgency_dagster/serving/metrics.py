"""`GET /metrics`: what a Prometheus server reads. Labels hold no text, no id and no name of a file.

Each application has a registry of its own. Under replicas, each replica tells its own numbers.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from urgency_dagster.serving.served_models import ServedModels

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "urgency_dagster"

CLIENT_GONE = 499
"""The status of a request without an answer: the client has closed the connection. Source: nginx's access log."""

UNMATCHED = "unmatched"
"""The route of every request without a route, so that clients cannot add labels."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class RequestMetrics:
    """Numbers of requests.

    Args:
        registry: the registry of the application.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        own: dict[str, Any] = {"namespace": PREFIX, "registry": registry}
        self.requests = Counter("http_requests", "Finished requests.", ["method", "route", "status"], **own)
        self.latency = Histogram(
            "http_request_duration_seconds",
            "Time from the first byte of a request to the last byte of its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            **own,
        )
        self.running = Gauge("http_requests_in_flight", "Requests that are being answered.", **own)
        self.streams = Gauge("streams_open", "Open streams of calls in progress.", **own)


class MeasuredRequests:
    """ASGI middleware that counts and times requests. It lies around all others.

    Args:
        app: the application.
        metrics: where it counts.
    """

    def __init__(self, app: "ASGIApp", metrics: RequestMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Passes a request or a stream on, and counts it."""
        if scope["type"] == "websocket":
            with self._metrics.streams.track_inprogress():
                await self._app(scope, receive, send)
        elif scope["type"] == "http":
            with self._metrics.running.track_inprogress():
                await self._measured(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _measured(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        status, start = CLIENT_GONE, time.perf_counter()

        async def send_noted(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            route = getattr(scope.get("route"), "path", UNMATCHED)
            method = scope["method"] if scope["method"] in METHODS else UNMATCHED
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.latency.labels(route).observe(time.perf_counter() - start)


class ModelMetrics(Collector):
    """Numbers of the models and of what they answered, read when they are asked for.

    Args:
        app: the application. Before its start it has no models, and there are no numbers.
    """

    def __init__(self, app: "FastAPI") -> None:
        self._state = app.state

    def collect(self) -> Iterator[Metric]:
        """Yields the numbers of now."""
        models: ServedModels | None = getattr(self._state, "models", None)
        if models is not None:
            yield from _of_models(models)
            yield from _of_answers(models)
            yield from _of_queues(models)


def _of_models(models: ServedModels) -> Iterator[Metric]:
    info = InfoMetricFamily(f"{PREFIX}_model", "The model that answers.", labels=["model"])
    loads = CounterMetricFamily(f"{PREFIX}_model_loads", "Models that were taken up.", labels=["model"])
    failed = GaugeMetricFamily(
        f"{PREFIX}_model_error", "1 if what lies in storage now does not answer.", labels=["model"]
    )
    for state in models.states():
        info.add_metric([state.name], {"sha256": state.sha256 or "", "data_sha256": state.data_sha256 or ""})
        loads.add_metric([state.name], state.loads)
        failed.add_metric([state.name], float(state.error is not None))
    yield from (info, loads, failed)


def _of_answers(models: ServedModels) -> Iterator[Metric]:
    tally = models.tally
    labels = ["urgency", "abstained", "alarmed"]
    calls = CounterMetricFamily(f"{PREFIX}_calls", "Scored recordings and ended calls in progress.", labels=labels)
    for outcome, count in sorted(tally.calls.items()):
        calls.add_metric([outcome.urgency, str(outcome.abstained).lower(), str(outcome.alarmed).lower()], count)
    yield calls
    yield CounterMetricFamily(
        f"{PREFIX}_audio_seconds", "Length of these recordings and calls.", value=tally.audio_ms / 1000
    )
    sizes = tally.forward_passes
    below = [(str(bound), float(_up_to(sizes, bound))) for bound in BATCH_BUCKETS]
    batches = HistogramMetricFamily(f"{PREFIX}_forward_pass_utterances", "Utterances of a forward pass.")
    utterances = sum(size * count for size, count in sizes.items())
    batches.add_metric([], [*below, ("+Inf", float(sizes.total()))], utterances)
    yield batches


def _up_to(sizes: dict[int, int], bound: int) -> int:
    return sum(count for size, count in sizes.items() if size <= bound)


def _of_queues(models: ServedModels) -> Iterator[Metric]:
    queued = GaugeMetricFamily(f"{PREFIX}_queue", "Work that waits or runs.", labels=["work"])
    queued.add_metric(["recordings"], models.workers.recordings.unfinished)
    queued.add_metric(["utterances"], models.workers.utterances.unfinished)
    yield queued


def add_metrics(app: "FastAPI") -> None:
    """Adds `GET /metrics` and the counting of requests. It must be the last middleware that is added."""
    registry = CollectorRegistry()
    registry.register(ModelMetrics(app))
    app.add_middleware(MeasuredRequests, metrics=RequestMetrics(registry))

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
