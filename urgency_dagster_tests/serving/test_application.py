"""The application: its models, its probes and its OpenAPI document."""

from fastapi.testclient import TestClient

from urgency_dagster.attention import MODEL_NAMES


def test_the_models_are_listed(client: TestClient) -> None:
    models = client.get("/v1/models").json()
    assert sorted(models["attention"]) == sorted(MODEL_NAMES)
    assert models["urgency"]["classes"]["urgency"] == ["하", "중", "상"]


def test_the_probes_answer(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "missing": []}


def test_the_openapi_document_is_of_version_3_1(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    errors = document["paths"]["/v1/utterances"]["post"]["responses"]["422"]["content"]
    assert list(errors) == ["application/problem+json"]
