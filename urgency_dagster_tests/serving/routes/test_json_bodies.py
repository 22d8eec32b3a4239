"""JSON bodies mean the same as for Python's own parser. What is no JSON is told so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster.serving.problems import add_problem_handlers
from urgency_dagster.serving.routes.json_bodies import JsonRoute
from urgency_dagster_tests.serving.conftest import ADDRESS

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)

received: list[Any] = []


@pytest.fixture(scope="module")
def echo() -> Iterator[TestClient]:
    """An application that keeps the body that it was sent."""
    app, router = FastAPI(), APIRouter(route_class=JsonRoute)

    @router.post("/")
    async def keep(body: dict[str, Any]) -> None:
        received.append(body)

    app.include_router(router)
    add_problem_handlers(app)
    with TestClient(app, base_url=ADDRESS) as client:
        yield client


@given(body=st.dictionaries(st.text(), values), ascii_only=st.booleans())
def test_every_value_arrives_as_it_was_sent(echo: TestClient, body: dict[str, Any], ascii_only: bool) -> None:
    content = json.dumps(body, ensure_ascii=ascii_only).encode()
    for sent in (content, b"\xef\xbb\xbf" + content):
        answer = echo.post("/", content=sent, headers={"content-type": "application/json"})
        assert answer.status_code == 200
        assert received.pop() == body


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"a": 1} 2',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a":' + b"[" * 100_000,
    ],
    ids=["ends early", "more follows", "no UTF-8", "half a character", "UTF-16", "too deep"],
)
def test_what_is_no_json_cannot_be_read(echo: TestClient, content: bytes) -> None:
    answer = echo.post("/", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:urgency-dagster:problem:unreadable-body")


@pytest.mark.parametrize("path", ["/v1/utterances", "/v1/attention", "/v2/models/lgbm/infer"])
def test_every_route_with_a_json_body_parses_it_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    client = TestClient(create_app(ServingConfig(tmp_path)), base_url=ADDRESS)
    monkeypatch.delattr("starlette.requests.Request.json")
    answer = client.post(path, content="{", headers={"content-type": "application/json"})
    assert answer.json()["detail"] == "The body is not JSON."
