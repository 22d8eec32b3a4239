"""Who may ask, and what a browser is told."""

import base64
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster.serving.configuration import is_loopback
from urgency_dagster.serving.security import OPEN_PATHS
from urgency_dagster_tests.serving.conftest import ADDRESS

TOKEN = "비밀-token"
PATHS = ["/v1/models", "/openapi.json", "/v2", "/nothing"]


def client_of(tmp_path: Path, token: str | None = None, host: str = "127.0.0.1") -> TestClient:
    """A client of an application without models: security comes before them."""
    return TestClient(create_app(ServingConfig(tmp_path, host, token=token)), base_url=ADDRESS)


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


@pytest.mark.parametrize("path", PATHS)
def test_without_its_token_nothing_is_answered(tmp_path: Path, path: str) -> None:
    client = client_of(tmp_path, TOKEN)
    wrong: list[dict[bytes, bytes]] = [
        {},
        bearer(""),
        bearer("x"),
        bearer(TOKEN + "x"),
        {b"authorization": TOKEN.encode()},
    ]
    for headers in wrong:
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:urgency-dagster:problem:unauthorised"
        assert TOKEN not in answer.text


def test_with_its_token_a_request_is_answered(tmp_path: Path) -> None:
    assert client_of(tmp_path, TOKEN).get("/openapi.json", headers=bearer(TOKEN)).status_code == 200


def test_probes_need_no_token(tmp_path: Path) -> None:
    assert client_of(tmp_path, TOKEN).get("/healthz").status_code == 200
    assert "/healthz" in OPEN_PATHS


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1"])
def test_another_host_is_refused_on_loopback(tmp_path: Path, host: str) -> None:
    """A page of another site can give its own name to this address (DNS rebinding)."""
    answer = client_of(tmp_path).get("/healthz", headers={"host": host})
    assert (answer.status_code, answer.json()["type"]) == (421, "urn:urgency-dagster:problem:foreign-host")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_are_answered(tmp_path: Path, host: str) -> None:
    assert client_of(tmp_path).get("/healthz", headers={"host": host}).status_code == 200


def test_with_a_token_any_host_is_answered(tmp_path: Path) -> None:
    """A proxy in front passes the public name on, and a foreign page has no token."""
    client = client_of(tmp_path, TOKEN, host="0.0.0.0")
    headers = {b"host": b"calls.example", **bearer(TOKEN)}
    assert client.get("/openapi.json", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://[::zz]"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8000"},
    ],
)
def test_a_page_of_another_origin_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    answer = client_of(tmp_path).post("/v1/calls", headers=headers, content=b"")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:urgency-dagster:problem:foreign-origin")


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://127.0.0.1:8000"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
def test_the_page_of_this_server_is_answered(tmp_path: Path, headers: dict[str, str]) -> None:
    answer = client_of(tmp_path).get("/healthz", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_every_answer_has_the_security_headers(tmp_path: Path) -> None:
    client = client_of(tmp_path)
    for path in ("/healthz", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "http" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize(("token", "offered"), [(None, []), (TOKEN, []), (TOKEN, ["bearer.eA"]), (TOKEN, ["bearer.!"])])
def test_a_stream_is_refused_before_it_opens(tmp_path: Path, token: str | None, offered: list[str]) -> None:
    client = client_of(tmp_path, token)
    headers = {} if token else {"host": "evil.example"}
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/any", offered, headers=headers):
        pass
    assert getattr(refused.value, "status_code", 403) in (401, 403, 421)


def test_a_stream_can_carry_the_token_as_a_subprotocol(tmp_path: Path) -> None:
    """A browser cannot set a header on a WebSocket. This path has no stream, so it is closed after the check."""
    encoded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    client = client_of(tmp_path, TOKEN)
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/any", [f"bearer.{encoded}"]):
        pass
    assert getattr(closed.value, "status_code", None) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_addresses_of_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "example.org", "localhost.example"])
def test_addresses_that_others_reach(host: str) -> None:
    assert not is_loopback(host)
