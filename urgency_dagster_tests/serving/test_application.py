"""The application: its models, its probes and its OpenAPI document."""

from fastapi.testclient import TestClient

from urgency_dagster.attention import MODEL_NAMES
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster_tests.serving.conftest import ADDRESS
from urgency_dagster_tests.serving.own_root import own_root

__all__ = ["own_root"]


def test_the_models_are_listed(client: TestClient) -> None:
    models = client.get("/v1/models").json()
    assert sorted(models["attention"]) == sorted(MODEL_NAMES)
    assert models["urgency"]["classes"]["urgency"] == ["하", "중", "상"]


def test_the_probes_answer(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    names = [f"attention/{name}" for name in sorted(MODEL_NAMES)]
    assert client.get("/readyz").json() == {"status": "ready", "models": ["urgency", *names], "missing": []}


def test_without_a_model_the_server_lives_and_is_not_ready(root_without_models: StoragePaths) -> None:
    with TestClient(create_app(ServingConfig(root_without_models.root)), base_url=ADDRESS) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/models").json() == {"urgency": None, "attention": {}}
        utterances = {"utterances": [{"text": "네", "vector": [0.5]}]}
        for answer in (
            client.get("/readyz"),
            client.get("/v2/health/ready"),
            client.post("/v1/utterances", json=utterances),
            client.post("/v1/attention", json={"rows": [{"a": 1}]}),
        ):
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:urgency-dagster:problem:no-model")


def test_one_pipeline_is_enough(own_root: StoragePaths) -> None:
    with TestClient(create_app(ServingConfig(own_root.root)), base_url=ADDRESS) as client:
        assert client.get("/readyz").json() == {"status": "ready", "models": ["urgency"], "missing": ["attention"]}


def test_the_openapi_document_is_of_version_3_1(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    errors = document["paths"]["/v1/utterances"]["post"]["responses"]["422"]["content"]
    assert list(errors) == ["application/problem+json"]
