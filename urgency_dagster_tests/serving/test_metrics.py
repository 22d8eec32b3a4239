"""What a Prometheus server reads from the application."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Scope

from urgency_dagster.serving import create_app
from urgency_dagster_tests.serving.conftest import ADDRESS, ServedRoot

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

SECRET = "가상시 비밀동"


@pytest.fixture(scope="module")
def asked(served_root: ServedRoot, recording: bytes) -> Iterator[TestClient]:
    """An application of its own after two scored calls, a rejected one, and requests without a route."""
    with TestClient(create_app(served_root.config), base_url=ADDRESS) as client:
        for _ in range(2):
            turns = json.dumps([{"start_ms": 0, "end_ms": 3000, "text": SECRET}])
            files: dict[str, Any] = {"audio": (f"{SECRET}.wav", recording), "turns": (None, turns)}
            assert client.post("/v1/calls", files=files).status_code == 200
        assert client.post("/v1/calls", content=b"noise", headers={"content-type": "audio/wav"}).status_code == 422
        for number in range(50):
            client.get(f"/{SECRET}/{number}")
        client.request("BREW", "/healthz")
        yield client


@pytest.fixture(scope="module")
def samples(asked: TestClient) -> Samples:
    answer = asked.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name.removeprefix("urgency_dagster_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def total(samples: Samples, name: str) -> float:
    return sum(number for (of, _), number in samples.items() if of == name)


def test_requests_are_counted_by_route_and_status(samples: Samples) -> None:
    assert value(samples, "http_requests_total", method="POST", route="/v1/calls", status="200") == 2
    assert value(samples, "http_requests_total", method="POST", route="/v1/calls", status="422") == 1
    assert value(samples, "http_request_duration_seconds_count", route="/v1/calls") == 3
    assert value(samples, "http_requests_in_flight") == 1  # this one


def test_requests_without_a_route_add_no_label(samples: Samples) -> None:
    assert value(samples, "http_requests_total", method="GET", route="unmatched", status="404") == 50
    assert len({labels for name, labels in samples if name == "http_requests_total"}) < 8


def test_scored_calls_and_their_audio_are_counted(samples: Samples) -> None:
    assert total(samples, "calls_total") == 2
    assert value(samples, "audio_seconds_total") == pytest.approx(12, abs=0.1)
    assert value(samples, "forward_pass_utterances_count") == value(samples, "forward_pass_utterances_sum") == 2


def test_each_model_is_named_with_its_hash(samples: Samples, served_root: ServedRoot) -> None:
    infos = [dict(labels) for name, labels in samples if name == "model_info"]
    assert "urgency" in {info["model"] for info in infos}
    assert all(re.fullmatch("[0-9a-f]{64}", info["sha256"]) for info in infos)
    assert value(samples, "model_loads_total", model="urgency") == 1
    assert value(samples, "model_error", model="urgency") == 0


def test_no_text_and_no_name_is_in_a_label(asked: TestClient) -> None:
    text = asked.get("/metrics").text
    assert not any(word in text for word in SECRET.split())


def test_two_applications_count_apart(served_root: ServedRoot, asked: TestClient) -> None:
    with TestClient(create_app(served_root.config), base_url=ADDRESS) as other:
        assert 'route="/v1/calls"' not in other.get("/metrics").text


def test_a_client_that_goes_away_is_no_fault_of_the_server(asked: TestClient) -> None:
    """It closes its connection in the middle of a recording."""
    messages: list[Message] = [
        {"type": "http.request", "body": b"RIFF", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"audio/wav")]
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/calls", "headers": headers, "query_string": b""}
    assert asked.portal
    asked.portal.call(asked.app, scope, receive, send)
    assert sent == []
    counted = 'urgency_dagster_http_requests_total{method="POST",route="/v1/calls",status="499"} 1.0'
    assert counted in asked.get("/metrics").text
