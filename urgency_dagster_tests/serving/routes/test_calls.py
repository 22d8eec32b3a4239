"""`POST /v1/calls`."""

import json

import pytest
from fastapi.testclient import TestClient

from urgency_dagster.scoring import load_predictor
from urgency_dagster_tests.serving.conftest import ServedRoot

TURNS = [
    {"start_ms": 0, "end_ms": 1500, "text": "여기 호흡", "speaker": "신고자"},
    {"start_ms": 2000, "end_ms": 3600, "text": "네 문의", "speaker": "접수자"},
]

Parts = dict[str, tuple[str | None, bytes | str]]


def parts_of(recording: bytes, turns: object = None) -> Parts:
    """The parts of a request: a recording, and its turns if there are any."""
    parts: Parts = {"audio": ("a1_2023.wav", recording)}
    return parts if turns is None else {**parts, "turns": (None, json.dumps(turns))}


def test_a_recording_with_turns_is_answered_as_by_the_predictor(
    client: TestClient, served_root: ServedRoot, recording: bytes
) -> None:
    answer = client.post("/v1/calls", files=parts_of(recording, TURNS)).json()
    predictor = load_predictor(served_root.paths.root)
    expected = predictor.predict(recording, [(0, 1500, "여기 호흡", "신고자"), (2000, 3600, "네 문의", "접수자")])
    assert expected.urgency is not None
    assert answer["urgency"]["probabilities"] == pytest.approx(expected.urgency.probabilities, abs=1e-6)
    assert (answer["file"], answer["_id"], answer["listening"]) == ("a1_2023.wav", "a1", "label")
    assert answer["model"]["sha256"] == predictor.provenance.weights_sha256
    assert answer["model"]["data_sha256"] == predictor.provenance.data_sha256
    assert [turn["speaker"] for turn in answer["utterances"]] == ["신고자", "접수자"]


def test_text_is_answered_only_if_it_is_asked_for(client: TestClient, recording: bytes) -> None:
    parts = parts_of(recording, TURNS)
    silent = client.post("/v1/calls", files=parts)
    assert "호흡" not in silent.text
    asked = client.post("/v1/calls?text=true", files=parts).json()
    assert [turn["text"] for turn in asked["utterances"]] == ["여기 호흡", "네 문의"]


def test_a_raw_recording_is_answered(client: TestClient, recording: bytes) -> None:
    parts = client.post("/v1/calls", content=recording, headers={"content-type": "audio/wav"})
    assert parts.status_code in (200, 422)
