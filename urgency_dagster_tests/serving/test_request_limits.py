"""Bounds of one request, and what happens to an error that nobody expected."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from urgency_dagster.serving import request_limits
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.problems import add_problem_handlers
from urgency_dagster.serving.request_limits import RequestLimits, max_body_bytes
from urgency_dagster_tests.serving.conftest import ADDRESS

SECRET = "신고자가 말한 것"
LIMITS = Limits(body_bytes=1000, json_bytes=100, requests=2, request_s=1)


def bounded(limits: Limits = LIMITS) -> FastAPI:
    """An application with the middleware and routes that read, wait and fail."""
    app = FastAPI()
    add_problem_handlers(app)
    app.add_middleware(RequestLimits, limits=limits)
    app.state.go_on, app.state.waiting = asyncio.Event(), asyncio.Semaphore(0)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.post("/parse")
    async def parse(body: dict[str, Any]) -> int:
        return len(body)

    @app.post("/wait")
    async def wait(request: Request) -> None:
        await request.body()
        app.state.waiting.release()
        await app.state.go_on.wait()

    @app.get("/healthz")
    @app.get("/metrics")
    async def probe() -> None:
        """Answers at once."""

    @app.get("/fail")
    async def fail() -> None:
        raise KeyError(SECRET)

    return app


async def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
        return await client.request(method, path, **options)


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body without a stated length."""
    for _ in range(size // 10):
        yield b"0" * 10


@pytest.mark.parametrize(
    ("kind", "size"), [("audio/wav", 1000), ("application/json", 100), ("multipart/form-data", 1000)]
)
def test_a_body_may_be_as_large_as_the_limit_of_its_type(kind: str, size: int) -> None:
    headers = {"content-type": kind}
    for content in (b"0" * size, in_pieces(size)):
        assert asyncio.run(ask(bounded(), "POST", "/read", content=content, headers=headers)).json() == size
    for content in (b"0" * (size + 10), in_pieces(size + 10)):
        answer = asyncio.run(ask(bounded(), "POST", "/read", content=content, headers=headers))
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


def test_a_body_that_is_parsed_by_the_framework_is_bounded_too() -> None:
    headers = {"content-type": "application/json"}
    answer = asyncio.run(ask(bounded(), "POST", "/parse", content=in_pieces(200), headers=headers))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:urgency-dagster:problem:body-too-large")


def test_a_body_is_not_read_beyond_the_limit() -> None:
    read = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        async for piece in in_pieces(1_000_000):
            read += len(piece)
            yield piece

    asyncio.run(ask(bounded(), "POST", "/read", content=counted()))
    assert read <= LIMITS.json_bytes + 10


def test_only_audio_and_forms_have_the_large_limit() -> None:
    assert max_body_bytes("Audio/X-WAV; rate=8000", LIMITS) == LIMITS.body_bytes
    for kind in ("", "application/json", "application/x-www-form-urlencoded", "text/plain", "audio"):
        assert max_body_bytes(kind, LIMITS) == LIMITS.json_bytes


def test_a_request_that_takes_too_long_ends() -> None:
    answer = asyncio.run(ask(bounded(), "POST", "/wait", content=b"0"))
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:urgency-dagster:problem:too-slow")


def test_a_body_that_does_not_arrive_ends() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"0"
        await asyncio.Event().wait()

    answer = asyncio.run(ask(bounded(), "POST", "/read", content=never()))
    assert (answer.status_code, answer.json()["type"]) == (408, "urn:urgency-dagster:problem:slow-body")


@pytest.mark.parametrize("path", ["/read", "/parse"])
def test_a_body_that_hardly_arrives_ends_before_the_request(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"0"
            await asyncio.sleep(0.01)

    monkeypatch.setattr(request_limits, "PATIENCE_S", 0.1)
    monkeypatch.setattr(request_limits, "MIN_BYTES_PER_S", 1_000_000)
    answer = asyncio.run(ask(bounded(Limits()), "POST", path, content=trickle()))
    assert (answer.status_code, answer.json()["type"]) == (408, "urn:urgency-dagster:problem:slow-body")


def test_a_body_that_has_arrived_leaves_the_request_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "PATIENCE_S", 0)
    answer = asyncio.run(ask(bounded(), "POST", "/wait", content=b"0"))
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:urgency-dagster:problem:too-slow")


def test_a_busy_server_still_says_that_it_lives() -> None:
    """Otherwise an orchestrator would end it."""

    async def scenario() -> int:
        app = bounded(Limits(requests=1))
        waiting = asyncio.create_task(ask(app, "POST", "/wait"))
        await app.state.waiting.acquire()
        answer = await ask(app, "GET", "/healthz")
        app.state.go_on.set()
        await waiting
        return answer.status_code

    assert asyncio.run(scenario()) == 200


def test_more_requests_than_the_limit_are_refused_and_later_ones_answered() -> None:
    async def scenario() -> tuple[list[int], httpx.Response, httpx.Response]:
        app = bounded(Limits(requests=2))
        waiting = [asyncio.create_task(ask(app, "POST", "/wait")) for _ in range(2)]
        for _ in waiting:
            await app.state.waiting.acquire()
        refused = await ask(app, "POST", "/read")
        app.state.go_on.set()
        answered = [(await task).status_code for task in waiting]
        return answered, refused, await ask(app, "POST", "/read")

    answered, refused, later = asyncio.run(scenario())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert answered == [200, 200]
    assert later.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_a_busy_server_answers_its_probes(path: str) -> None:
    async def scenario() -> int:
        app = bounded(Limits(requests=1))
        waiting = asyncio.create_task(ask(app, "POST", "/wait"))
        await app.state.waiting.acquire()
        probe = await ask(app, "GET", path)
        app.state.go_on.set()
        await waiting
        return probe.status_code

    assert asyncio.run(scenario()) == 200


def test_an_unexpected_error_says_nothing_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = asyncio.run(ask(bounded(), "GET", "/fail"))
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:urgency-dagster:problem:internal")
    assert "KeyError at test_request_limits.py:" in caplog.text
    for said in (answer.text, caplog.text):
        assert SECRET not in said
        assert "Traceback" not in said
