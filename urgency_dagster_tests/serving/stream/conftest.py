"""Recordings with speech, a server on a real socket, and how tests talk to a stream."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

from urgency_dagster.listening import Turn
from urgency_dagster.scoring import load_predictor
from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster.serving.stream.messages import SERVER_EVENTS
from urgency_dagster.urgency import Predictor
from urgency_dagster_tests.listening.syllables import silence, syllables
from urgency_dagster_tests.serving.conftest import ADDRESS, ServedRoot

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATH = "/v1/calls/stream"

ADDRESS_OF_STREAM = ADDRESS.replace("http", "ws") + PATH

Event = dict[str, Any]


@pytest.fixture(scope="session")
def served_predictor(served_root: ServedRoot) -> Predictor:
    """The model that the server serves, to be asked about the finished recording."""
    return load_predictor(served_root.paths.root)


@pytest.fixture(scope="session")
def speech() -> "NDArray[np.int16]":
    """A call of 14 s at 16 kHz with three utterances, one of which is long."""
    parts = [
        silence(700),
        syllables(2000),
        silence(900),
        syllables(7000, seed=1),
        silence(1200),
        syllables(1500, seed=2),
    ]
    return pcm(np.concatenate([*parts, silence(700)]))


def pcm(waveform: "NDArray[np.float32]") -> "NDArray[np.int16]":
    return (waveform * 32_767).astype(np.int16)


def start(**changed: Any) -> Event:
    return {"type": "session.start", "sample_rate": 16_000, "listening": "recogniser"} | changed


def turn_message(turn: Turn) -> Event:
    return {
        "type": "turn",
        "start_ms": turn.start_ms,
        "end_ms": turn.end_ms,
        "text": turn.text,
        "speaker": turn.speaker,
    }


def pieces(samples: "NDArray[np.int16]", size: int) -> Iterator[bytes]:
    content = samples.astype("<i2").tobytes()
    yield from (content[begin : begin + 2 * size] for begin in range(0, len(content), 2 * size))


@contextmanager
def connected(client: TestClient, **changed: Any) -> Iterator[WebSocketTestSession]:
    """A socket of a session that was started with some options."""
    with client.websocket_connect(ADDRESS_OF_STREAM) as socket:
        socket.send_json(start(**changed))
        yield socket


def received(socket: WebSocketTestSession) -> Event:
    """The next event. It fits its class."""
    content = socket.receive_text()
    event: Event = json.loads(content)
    SERVER_EVENTS[event["type"]].model_validate_json(content)
    return event


def until(socket: WebSocketTestSession, *kinds: str) -> list[Event]:
    """The events up to the first of some kinds."""
    events = [received(socket)]
    while events[-1]["type"] not in kinds:
        events.append(received(socket))
    return events


def sent_call(
    client: TestClient, samples: "NDArray[np.int16]", size: int, turns: Sequence[Turn] = (), **changed: Any
) -> list[Event]:
    """The events of a call that is sent in pieces of so many samples. Turns are sent first."""
    with connected(client, **changed) as socket:
        for turn in turns:
            socket.send_json(turn_message(turn))
        for piece in pieces(samples, size):
            socket.send_bytes(piece)
        socket.send_json({"type": "finish"})
        return until(socket, "session.finished")


def of_kind(events: Sequence[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


@contextmanager
def small_client(root: ServedRoot, **changed: Any) -> Iterator[TestClient]:
    """A client of an application with other limits."""
    with TestClient(create_app(ServingConfig(root.paths.root, **changed)), base_url=ADDRESS) as client:
        yield client


@contextmanager
def listening_server(config: ServingConfig) -> Iterator[str]:
    """The address of a stream on a real socket, in a thread of this process."""
    # Without pings: on a loaded machine an answer can be too late.
    options = uvicorn.Config(
        create_app(config), port=0, access_log=False, log_level="warning", ws_max_size=1 << 20, ws_ping_interval=None
    )
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}{PATH}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def stream_url(served_root: ServedRoot) -> Iterator[str]:
    with listening_server(served_root.config) as url:
        yield url
