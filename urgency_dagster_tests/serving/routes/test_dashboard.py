"""The page and its files: what is sent, and what a browser may do with it."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster_tests.serving.conftest import ADDRESS, ServedRoot
from urgency_dagster_tests.serving.page.dashboard import PAGE


@pytest.fixture(scope="module")
def guarded(served_root: ServedRoot) -> Iterator[TestClient]:
    """A client without the token that the server wants."""
    with TestClient(create_app(ServingConfig(served_root.paths.root, token="x" * 20)), base_url=ADDRESS) as found:
        yield found


def test_the_page_has_a_new_nonce_each_time(client: TestClient) -> None:
    nonces = set()
    for _ in range(2):
        answer = client.get("/")
        (nonce,) = re.findall(r'nonce="([^"]+)"', answer.text)
        assert f"style-src 'self' 'nonce-{nonce}'" in answer.headers["content-security-policy"]
        nonces.add(nonce)
    assert len(nonces) == 2


def test_every_file_is_sent_and_only_by_its_kind(client: TestClient) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for file in PAGE.rglob("*"):
        if file.suffix in kinds:
            answer = client.get(f"/page/{file.relative_to(PAGE).as_posix()}")
            assert answer.content == file.read_bytes()
            assert answer.headers["content-type"].startswith(kinds[file.suffix])
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["", "page/scripts/main.js"])
def test_the_policy_allows_this_origin_alone(client: TestClient, path: str) -> None:
    headers = client.get(f"/{path}").headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert headers.get_list("content-security-policy") == [policy]


def test_the_page_needs_no_token_and_everything_else_does(guarded: TestClient) -> None:
    assert guarded.get("/").status_code == 200
    assert guarded.get("/page/scripts/main.js").status_code == 200
    for path in ("/v1/reports", "/v1/reports/urgency", "/v1/models", "/page", "/pages/x"):
        assert guarded.get(path).status_code in (401, 404), path
    assert guarded.get("/v1/reports").status_code == 401


@pytest.mark.parametrize(
    "path", ["page/../application.py", "page/%2e%2e/application.py", "page/..%2fapplication.py", "page//etc/passwd"]
)
def test_no_other_file_is_sent(client: TestClient, path: str) -> None:
    assert client.get(f"/{path}").status_code == 404
