"""Mutated bodies of every kind: each is answered or refused, and nothing of it stays. See `calls.test_fuzz`."""

import json
import os
from collections import Counter
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from urgency_dagster_tests.calls.test_fuzz import mutated, mutations, restructured, restructurings
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.serving.conftest import ServedRoot

INPUTS = int(os.environ.get("FUZZ_INPUTS", "60"))
MAX_GROWTH = 64 << 20
"""Bytes that the process may grow by after the first kind of bodies, whose answers fill every cache."""

BOUNDARY = "fuzz"
SECRET = "신고자가말한것"

JSON_PATHS = ["/v1/utterances", "/v1/attention", "/v2/models/lgbm/infer", "/v2/models/voting/infer"]
PATHS = [*JSON_PATHS, "/v1/calls"]
MEDIA_TYPES = [
    "application/json",
    "multipart/form-data; boundary=fuzz",
    "audio/wav",
    "audio/x",
    "",
    "text/plain",
    "\xe9",
]

fuzzed = settings(max_examples=INPUTS, suppress_health_check=list(HealthCheck))

tried: Counter[str] = Counter()
sizes: list[int] = []


def survives(client: TestClient, path: str, content: bytes, media_type: str, kind: str) -> None:
    """Tests that a body is answered or refused, without a word of it."""
    tried[kind] += 1
    answer = client.post(path, content=content, headers={b"content-type": media_type.encode("latin-1")})
    assert answer.status_code in (200, 400, 404, 413, 415, 422), answer.text
    expected = "application/json" if answer.status_code == 200 else "application/problem+json"
    assert answer.headers["content-type"] == expected
    assert SECRET not in answer.text
    if tried[kind] == INPUTS:
        sizes.append(psutil.Process().memory_info().rss)


@pytest.fixture(scope="session")
def bodies(served_root: ServedRoot, client: TestClient) -> dict[str, dict[str, Any]]:
    """A body of each path that is answered."""
    row = {str(name): float(value) for name, value in served_root.data.X.iloc[0].items()}
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in row.items()]
    width = client.get("/v1/models").json()["urgency"]["audio_width"]
    utterance = {"text": SECRET, "vector": [0.5] * width, "call": "a"}
    return {
        "/v1/utterances": {"utterances": [utterance, utterance]},
        "/v1/attention": {"rows": [row, row], "models": ["lgbm", "rf"], "reasons": 2},
        "/v2/models/lgbm/infer": {"id": "1", "inputs": inputs, "outputs": [{"name": "label"}]},
        "/v2/models/voting/infer": {"inputs": inputs},
    }


def form(recording: bytes, turns: bytes) -> bytes:
    """A form with a recording and its turns."""
    parts = [("audio", '; filename="a_1.wav"', recording), ("turns", "", turns)]
    lines = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{rest}\r\n\r\n'.encode() + content + b"\r\n"
        for name, rest, content in parts
    ]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


TURNS: dict[str, Any] = {"turns": [{"start_ms": 0, "end_ms": 900, "text": SECRET, "speaker": "caller"}] * 2}


@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")  # of a form that ends in a part, until it is freed
class TestBodies:
    @given(path=st.sampled_from(PATHS), content=st.binary(max_size=400), media_type=st.sampled_from(MEDIA_TYPES))
    @fuzzed
    def test_of_random_bytes(self, client: TestClient, path: str, content: bytes, media_type: str) -> None:
        survives(client, path, content, media_type, "bytes")

    @given(path=st.sampled_from(JSON_PATHS), changes=restructurings())
    @fuzzed
    def test_of_another_structure(
        self, client: TestClient, bodies: dict[str, dict[str, Any]], path: str, changes: Any
    ) -> None:
        content = json.dumps(restructured(bodies[path], changes)).encode()
        survives(client, path, content, "application/json", "structure")

    @given(path=st.sampled_from(JSON_PATHS), changes=mutations())
    @fuzzed
    def test_of_damaged_json(
        self, client: TestClient, bodies: dict[str, dict[str, Any]], path: str, changes: Any
    ) -> None:
        content = mutated(json.dumps(bodies[path]).encode(), changes)
        survives(client, path, content, "application/json", "json")

    @given(changes=restructurings())
    @fuzzed
    def test_of_turns(self, client: TestClient, build: Builder, changes: Any) -> None:
        turns = json.dumps(restructured(TURNS, changes).get("turns")).encode()
        body = form(build.wav(1000), turns)
        survives(client, "/v1/calls", body, f"multipart/form-data; boundary={BOUNDARY}", "turns")

    @given(changes=mutations())
    @fuzzed
    def test_of_a_form(self, client: TestClient, build: Builder, changes: Any) -> None:
        body = mutated(form(build.wav(1000), json.dumps(TURNS["turns"]).encode()), changes)
        survives(client, "/v1/calls", body, f"multipart/form-data; boundary={BOUNDARY}", "form")

    @given(
        changes=mutations(), rate=st.sampled_from([8000, 44_100]), subtype=st.sampled_from(["PCM_16", "ULAW", "FLOAT"])
    )
    @fuzzed
    def test_of_the_header_of_a_recording(
        self, client: TestClient, build: Builder, changes: Any, rate: int, subtype: str
    ) -> None:
        sound = build.wav(800, rate=rate, subtype=subtype)
        survives(client, "/v1/calls", mutated(sound[:60], changes) + sound[60:], "audio/wav", "recording")

    def test_as_many_bodies_were_tried_as_asked_for(self) -> None:
        assert tried == dict.fromkeys(("bytes", "structure", "json", "turns", "form", "recording"), INPUTS)

    def test_the_process_does_not_grow(self) -> None:
        assert max(sizes) - sizes[0] < MAX_GROWTH
