"""The OpenAPI document: what it holds, and what Schemathesis finds when it asks by it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema

from urgency_dagster.serving import create_app
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.serving.live_server import live_server

EXAMPLES_PER_OPERATION = 12


@pytest.fixture(scope="session")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_the_document_is_of_version_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}, name


def test_every_error_is_a_problem_document_with_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"401", "403", "421", "500", "503"} <= set(errors), name
        for answer in errors.values():
            assert list(answer["content"]) == ["application/problem+json"]
            assert answer["content"]["application/problem+json"]["examples"]


def test_the_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    count = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            resolved = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            jsonschema_rs.validate(resolved, example)
            count += 1
    assert count >= 10


def test_the_token_is_described_only_if_it_is_needed(served_root: ServedRoot) -> None:
    with_token = create_app(replace(served_root.config, token="t")).openapi()
    assert with_token["security"] == [{"token": []}]
    assert "security" not in create_app(served_root.config).openapi()


def test_no_page_of_the_server_loads_another_server(client: TestClient) -> None:
    assert client.get("/docs").status_code == 404
    assert client.get("/redoc").status_code == 404


CONFIG = {
    # A schema cannot say that bytes are a recording, that vectors have the width of the model, or which columns it has.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "415", "422"]}}
}


@pytest.fixture(scope="session")
def live_schema(served_root: ServedRoot, build: Builder) -> Iterator[BaseSchema]:
    recordings = st.sampled_from([build.wav(1500), build.wav(700, rate=16_000), b"RIFF", b""])
    for media_type in ("audio/*", "audio/wav"):
        schemathesis.openapi.media_type(media_type, recordings)
    with live_server(create_app(served_root.config)) as address:
        config = schemathesis.Config.from_dict(CONFIG)
        yield schemathesis.openapi.from_url(f"{address}/openapi.json", config=config)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_schemathesis_finds_nothing(live_schema: BaseSchema, mode: GenerationMode) -> None:
    """Every check, with requests that fit the document and requests that do not."""
    operations = [found.ok() for found in live_schema.get_all_operations() if isinstance(found, Ok)]
    failures = [failure for operation in operations for failure in _failures(operation, mode)]
    assert not failures, "\n\n".join(failures)


def _failures(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> list[str]:
    """What one operation does wrong."""
    if mode.is_negative and not (operation.body or operation.query):
        return []  # no request can be wrong

    @settings(max_examples=EXAMPLES_PER_OPERATION, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate()

    try:
        ask()
    except (FailureGroup, Failure) as failure:
        return [f"{operation.label}: {failure}"]
    return []
