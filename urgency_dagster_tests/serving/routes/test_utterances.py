"""`POST /v1/utterances`."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from urgency_dagster.scoring import load_predictor
from urgency_dagster_tests.serving.conftest import ServedRoot


def test_texts_and_vectors_are_answered_as_by_the_predictor(client: TestClient, served_root: ServedRoot) -> None:
    predictor = load_predictor(served_root.paths.root)
    vectors = np.random.default_rng(1).normal(size=(3, predictor.provenance.audio_width)).astype(np.float32)
    texts, calls = ["네 호흡", "여기 문의", "집"], ["b", "a", "b"]
    sent = [
        {"text": text, "vector": vector.tolist(), "call": call}
        for text, vector, call in zip(texts, vectors, calls, strict=True)
    ]
    answer = client.post("/v1/utterances", json={"utterances": sent}).json()
    expected = predictor.predict_utterances(texts, vectors, calls)
    for got, wanted in zip(answer["utterances"], expected.utterances, strict=True):
        assert wanted.urgency is not None
        assert got["urgency"]["probabilities"] == pytest.approx(wanted.urgency.probabilities, abs=1e-6)
    assert [call["call"] for call in answer["calls"]] == ["b", "a"]
    assert answer["model"]["data_sha256"] == predictor.provenance.data_sha256
