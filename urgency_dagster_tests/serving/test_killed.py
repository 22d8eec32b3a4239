"""A server whose model folder is deleted, and that is killed, while clients ask it: what each client sees."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor
from urgency_dagster_tests.child_process import PATIENCE_S, child_process
from urgency_dagster_tests.serving.own_root import config, own_root

__all__ = ["config", "own_root"]

pytestmark = pytest.mark.slow

CLIENTS = 3
ANSWERS = 10
"""Answers of each client between two events."""

TEXTS = ["호흡", "네 여기 아파", "문의"]


@dataclass
class Client:
    """Asks the same question again and again until there is no connection.

    Attributes:
        statuses: the status of each answer.
        bodies: the different bodies.
        error: the name of the exception that ended it.
    """

    address: str
    question: dict[str, Any]
    statuses: list[int] = field(default_factory=list)
    bodies: set[str] = field(default_factory=set)
    error: str = ""

    def ask(self) -> None:
        with httpx.Client(base_url=self.address, timeout=PATIENCE_S) as client:
            try:
                while True:
                    answer = client.post("/v1/utterances", json=self.question)
                    self.bodies.add(answer.text)
                    self.statuses.append(answer.status_code)
            except httpx.TransportError as error:
                self.error = type(error).__name__


@contextmanager
def asking(address: str, question: dict[str, Any]) -> Iterator[list[Client]]:
    """Some clients that ask at the same time. The block ends when all have ended."""
    clients = [Client(address, question) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=client.ask) for client in clients]
    for thread in threads:
        thread.start()
    yield clients
    for thread in threads:
        thread.join(PATIENCE_S)


def wait_for(is_true: Callable[[], bool]) -> None:
    """Waits for something that must happen."""
    waiting = threading.Event()
    for _ in range(int(PATIENCE_S * 100)):
        if is_true():
            return
        waiting.wait(0.01)
    pytest.fail("it did not happen")


def test_clients_of_a_killed_server_see_right_answers_and_then_no_connection(own_root: StoragePaths) -> None:
    predictor = load_predictor(own_root.root)
    width = predictor.provenance.audio_width
    vectors = np.random.default_rng(0).normal(size=(len(TEXTS), width)).astype(np.float32)
    expected = [answer.urgency for answer in predictor.predict_utterances(TEXTS, vectors).utterances]
    pairs = zip(TEXTS, vectors.tolist(), strict=True)
    question = {"utterances": [{"text": text, "vector": vector} for text, vector in pairs]}
    command = [sys.executable, "-c", "from urgency_dagster.cli import main; main()", "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "URGENCY_API_TOKEN"}
    with child_process([*command, "--storage", own_root.root], stdout=-1, env=environment) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2].rstrip(";")
        with asking(address, question) as clients:
            wait_for(lambda: all(len(client.statuses) >= ANSWERS for client in clients))
            shutil.rmtree(own_root.urgency.model)
            wait_for(lambda: all(len(client.statuses) >= 2 * ANSWERS for client in clients))
            wait_for(lambda: _model_error(address) == 1)
            after = [len(client.statuses) for client in clients]
            wait_for(lambda: all(len(c.statuses) > before for c, before in zip(clients, after, strict=True)))
            os.kill(server.pid, signal.SIGKILL)
    for client in clients:
        assert set(client.statuses) == {200}
        assert client.error in {"ReadError", "RemoteProtocolError", "ConnectError", "WriteError"}
        for body in client.bodies:
            found = httpx.Response(200, text=body).json()["utterances"]
            for answer, urgency in zip(found, expected, strict=True):
                assert urgency is not None
                assert answer["urgency"]["probabilities"] == pytest.approx(urgency.probabilities, abs=1e-6)


def _model_error(address: str) -> float:
    """Whether the server says that what lies in storage does not answer."""
    lines = httpx.get(f"{address}/metrics", timeout=PATIENCE_S).text.splitlines()
    (line,) = [line for line in lines if line.startswith('urgency_dagster_model_error{model="urgency"}')]
    return float(line.rpartition(" ")[2])
