"""The attention models by the Open Inference Protocol v2."""

from fastapi.testclient import TestClient

from urgency_dagster.attention import load_model
from urgency_dagster_tests.serving.conftest import ServedRoot


def test_a_request_by_the_specification_is_answered(client: TestClient, served_root: ServedRoot) -> None:
    rows = served_root.data.X.head(3)
    metadata = client.get("/v2/models/lgbm").json()
    inputs = [
        {
            "name": tensor["name"],
            "shape": [3, 1],
            "datatype": "FP64",
            "data": rows[tensor["name"]].astype(float).tolist(),
        }
        for tensor in metadata["inputs"]
    ]
    request = {"id": "42", "inputs": inputs, "outputs": [{"name": "probability"}]}
    answer = client.post("/v2/models/lgbm/infer", json=request).json()
    predictor = load_model(served_root.paths.attention.model("lgbm", ".pkl"))
    assert answer == {
        "model_name": "lgbm",
        "model_version": predictor.provenance.model_sha256,
        "id": "42",
        "parameters": {"data_sha256": served_root.data.source_sha256},
        "outputs": [
            {
                "name": "probability",
                "shape": [3],
                "datatype": "FP64",
                "data": predictor.pipeline.predict_proba(rows)[:, 1].tolist(),
            }
        ],
    }


def test_the_probes_of_the_protocol_answer(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True}
    assert client.get("/v2/models/rf/ready").json() == {"name": "rf", "ready": True}
    assert client.get("/v2").json()["name"] == "urgency-dagster"
    assert "error" in client.get("/v2/models/none").json()
