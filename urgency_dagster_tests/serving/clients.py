"""Clients that ask a server the same question at the same time, and know the right answer."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from urgency_dagster.scoring import load_predictor
from urgency_dagster_tests.child_process import PATIENCE_S

CLIENTS = 3

TEXTS = ["호흡", "네 여기 아파", "문의"]


@dataclass(frozen=True)
class Question:
    """Some utterances, and the probabilities of their urgency."""

    body: dict[str, Any]
    probabilities: Sequence[dict[str, float]]

    @classmethod
    def of(cls, root: Path) -> "Question":
        """A question for the model of a storage root."""
        predictor = load_predictor(root)
        shape = len(TEXTS), predictor.provenance.audio_width
        vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        answers = predictor.predict_utterances(TEXTS, vectors).utterances
        pairs = zip(TEXTS, vectors.tolist(), strict=True)
        body = {"utterances": [{"text": text, "vector": vector} for text, vector in pairs]}
        return cls(body, [answer.urgency.probabilities for answer in answers if answer.urgency])

    def check(self, bodies: Iterable[str]) -> None:
        """Checks that every answer is the right one."""
        for body in bodies:
            answers = httpx.Response(200, text=body).json()["utterances"]
            for answer, expected in zip(answers, self.probabilities, strict=True):
                assert answer["urgency"]["probabilities"] == pytest.approx(expected, abs=1e-6)


@dataclass
class Client:
    """Asks the same question again and again.

    Attributes:
        statuses: the status of each answer.
        bodies: the different bodies of answers with status 200.
        errors: the names of the exceptions of requests without an answer.
    """

    statuses: list[int] = field(default_factory=list)
    bodies: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def ask(self, address: str, question: Question, token: str, stop: threading.Event) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=address, timeout=PATIENCE_S, headers=headers) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/v1/utterances", json=question.body)
                except httpx.TransportError as error:
                    self.errors.append(type(error).__name__)
                    stop.wait(0.05)
                    continue
                if answer.status_code == 200:
                    self.bodies.add(answer.text)
                self.statuses.append(answer.status_code)


@contextmanager
def asking(address: str, question: Question, token: str = "") -> Iterator[list[Client]]:
    """Some clients that ask at the same time until the block ends."""
    clients, stop = [Client() for _ in range(CLIENTS)], threading.Event()
    threads = [threading.Thread(target=client.ask, args=(address, question, token, stop)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stop.set()
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
