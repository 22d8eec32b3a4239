"""`POST /v1/attention`."""

import pytest
from fastapi.testclient import TestClient

from urgency_dagster.attention import MODEL_NAMES, load_model
from urgency_dagster_tests.serving.conftest import ServedRoot


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_every_model_answers_as_its_exported_pipeline(client: TestClient, served_root: ServedRoot, model: str) -> None:
    rows = served_root.data.X.head(20)
    answer = client.post("/v1/attention", json={"rows": rows.to_dict("records")}).json()["models"][model]
    predictor = load_model(served_root.paths.attention.model(model, ".pkl"))
    assert [row["probability"] for row in answer["rows"]] == predictor.pipeline.predict_proba(rows)[:, 1].tolist()
    assert answer["model"]["sha256"] == predictor.provenance.model_sha256
    assert answer["model"]["data_sha256"] == served_root.data.source_sha256


def test_reasons_are_named_if_they_are_asked_for(client: TestClient, served_root: ServedRoot) -> None:
    body = {"rows": served_root.data.X.head(2).to_dict("records"), "models": ["lgbm"], "reasons": 2}
    answer = client.post("/v1/attention", json=body).json()["models"]
    assert list(answer) == ["lgbm"]
    assert [len(row["reasons"]) for row in answer["lgbm"]["rows"]] == [2, 2]
    assert answer["lgbm"]["explanation"]["method"] == "TreeSHAP"
