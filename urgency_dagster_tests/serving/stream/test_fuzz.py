"""Random and mutated messages: the server answers each with an event or ends the connection, and goes on.

`FUZZ_INPUTS` sets how many messages are sent.
"""

import json
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from urgency_dagster.serving.stream.messages import SERVER_EVENTS
from urgency_dagster_tests.serving.stream.conftest import ADDRESS_OF_STREAM, Event, sent_call, start

if TYPE_CHECKING:
    from numpy.typing import NDArray

MESSAGES = 20
"""Messages of one connection."""

INPUTS = int(os.environ.get("FUZZ_INPUTS", "400"))

MAX_GROWTH = 32 << 20

VALUES: st.SearchStrategy[Any] = st.sampled_from([
    None, True, -1, 0, 7, 0.5, 1e300, float("nan"), float("inf"), 10**30, 2**53, "", "상", "\ud800", "x" * 3000,
    "session.start", [], {}, [None], {"session": "x", "sequence": 0}, [[]] * 50,
])  # fmt: skip
FIELDS = st.sampled_from(
    ["type", "start_ms", "end_ms", "text", "speaker", "sample_rate", "listening", "resume", "sequence", "audio"]
)
VALID: list[Event] = [
    start(),
    start(listening="turns", sample_rate=8000, text=True),
    {"type": "turn", "start_ms": 0, "end_ms": 900, "text": "네", "speaker": "0"},
    {"type": "turn", "start_ms": 100, "end_ms": 1900, "text": "여기"},
    {"type": "commit"},
    {"type": "finish"},
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid message with some fields changed, or some characters."""
    message = dict(draw(st.sampled_from(VALID)))
    for field in draw(st.lists(FIELDS, max_size=3)):
        message[field] = draw(VALUES)
    content = json.dumps(message)
    if draw(st.booleans()):
        return content
    first, second = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
    return content[:first] + draw(st.text(max_size=8)) + content[second:]


AUDIO = st.binary(max_size=4000) | st.integers(0, 60_000).map(
    lambda size: np.random.default_rng(size).integers(-9000, 9000, size, np.int16).tobytes()
)
SENT = mutated() | AUDIO | st.text(max_size=40) | st.sampled_from(["[" * 9000, '{"type":', "null", "9" * 5000])

fuzzed = settings(max_examples=max(1, INPUTS // MESSAGES), suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def memory() -> Iterator[list[int]]:
    """The memory of the process after each connection. It does not grow once the first quarter has passed."""
    measured: list[int] = []
    yield measured
    assert measured[-1] - measured[len(measured) // 4] < MAX_GROWTH


@pytest.mark.slow
@given(first=st.sampled_from(VALID[:2]), messages=st.lists(SENT, min_size=MESSAGES, max_size=MESSAGES), blind=SENT)
@fuzzed
def test_of_messages(
    client: TestClient,
    memory: list[int],
    caplog: pytest.LogCaptureFixture,
    first: Event,
    messages: list[str | bytes],
    blind: str | bytes,
) -> None:
    for begin in (json.dumps(first), blind):
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            events = answered(client, [begin, *messages, json.dumps({"type": "finish"})])
        assert events
        for event in events:
            SERVER_EVENTS[event["type"]].model_validate_json(json.dumps(event))
        problems = [event["problem"] for event in events if event["type"] == "error"]
        assert all(problem["status"] < 500 for problem in problems)
        assert events[-1]["type"] == "session.finished" or events[-1]["fatal"]
        assert "여기" not in caplog.text
        memory.append(psutil.Process().memory_info().rss)


def answered(client: TestClient, messages: list[str | bytes]) -> list[Event]:
    """The events until the server ends the connection."""
    events: list[Event] = []
    with client.websocket_connect(ADDRESS_OF_STREAM) as socket:
        for message in messages:
            socket.send({"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message})
        with pytest.raises(WebSocketDisconnect) as closed:
            while True:
                events.append(json.loads(socket.receive_text()))
    assert closed.value.code in {1000, 1008, 1009, 1013}
    return events


@pytest.mark.slow
def test_the_server_answers_afterwards(client: TestClient, speech: "NDArray[np.int16]") -> None:
    assert sent_call(client, speech, 1600)[-1]["utterances"] >= 3
