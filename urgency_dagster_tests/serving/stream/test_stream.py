"""A call in progress is answered as the finished recording, however it is sent; what is wrong becomes a problem."""

import base64
import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from urgency_dagster.errors import RecognitionError
from urgency_dagster.listening import Turn
from urgency_dagster.serving import StreamLimits
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.served_urgency import ServedUrgency
from urgency_dagster.serving.stream.call_audio import CallAudio
from urgency_dagster.serving.stream.client import pcm16
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.urgency import Predictor, RecordingPrediction
from urgency_dagster_tests.listening.syllables import silence
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.serving.stream.conftest import (
    ADDRESS_OF_STREAM,
    Event,
    connected,
    of_kind,
    pcm,
    pieces,
    received,
    sent_call,
    small_client,
    start,
    turn_message,
    until,
)
from urgency_dagster_tests.urgency.spoken import SHAPES, logits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASKS = ("urgency", "sentiment")


def assert_same(event: Event, expected: Any) -> None:
    for task in TASKS:
        answer = getattr(expected, task)
        assert event[task]["label"] == answer.label
        assert event[task]["probabilities"] == pytest.approx(answer.probabilities, abs=1e-5)


def assert_is_answer(events: list[Event], answer: RecordingPrediction) -> None:
    """The events of a whole call say what the answer for the finished recording says."""
    scored = sorted(of_kind(events, "utterance.scored"), key=lambda event: event["start_ms"])
    for event, utterance in zip(scored, answer.utterances, strict=True):
        turn = utterance.turn
        assert (event["start_ms"], event["end_ms"], event["speaker"]) == (turn.start_ms, turn.end_ms, turn.speaker)
        assert_same(event, utterance)
    last = of_kind(events, "call.scored")[-1]
    assert_same(last, answer)
    for name in ("abstain", "alarm", "listening"):
        assert last[name] == getattr(answer, name)
    assert events[-1]["audio_ms"] == last["as_of_ms"] == answer.duration_ms
    assert events[-1]["utterances"] == last["utterances"] == len(answer.utterances)


def test_every_validation_call_has_the_scores_of_the_pipeline(
    client: TestClient, served_root: ServedRoot, served_predictor: Predictor
) -> None:
    compared = 0
    for number, (_, grouped) in enumerate(groupby(served_root.spoken.rows(), key=lambda row: row["_id"])):
        rows = list(grouped)
        turns = [Turn(row["startAt"], row["endAt"], row["text"], str(row["speaker"])) for row in rows]
        content, rate = pcm16(served_root.paths.root / rows[0]["wav_file_path"])
        samples = np.frombuffer(content, "<i2")
        events = sent_call(client, samples, 1600, turns, sample_rate=rate, listening="turns")
        assert_is_answer(events, served_predictor.predict((samples, rate), turns))
        if not SHAPES[number % len(SHAPES)]:  # other recordings are not sent as they are
            compared += len(rows)
            by_start = {event["start_ms"]: event for event in of_kind(events, "utterance.scored")}
            for task in TASKS:
                names, model = getattr(served_predictor.model.labels, task), served_predictor.model
                stored = probabilities(logits_of(rows, task), model.temperatures["utterance"][task])
                for row, expected in zip(rows, stored, strict=True):
                    answered = by_start[row["startAt"]][task]["probabilities"]
                    assert answered == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-5)
    assert compared == 8


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("size", [160, 1600, 7777])
def test_a_call_without_turns_is_heard_as_its_recording(
    client: TestClient, served_predictor: Predictor, speech: "NDArray[np.int16]", rate: int, size: int
) -> None:
    samples = speech[:: 16_000 // rate]
    events = sent_call(client, samples, size, sample_rate=rate)
    answer = served_predictor.predict((samples, rate))
    assert len(answer.utterances) >= 3
    assert_is_answer(events, answer)


def test_events_are_numbered_and_an_utterance_starts_before_its_score(
    client: TestClient, speech: "NDArray[np.int16]"
) -> None:
    events = sent_call(client, speech, 800)
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [events[0]["type"], events[-1]["type"]] == ["session.created", "session.finished"]
    started: list[int] = []
    for event in events:
        if event["type"] == "utterance.started":
            started.append(event["start_ms"])
        if event["type"] == "utterance.scored":
            assert event["start_ms"] <= started.pop(0) < event["end_ms"]
    assert not started


def test_a_call_is_counted_once_when_it_ends(client: TestClient, speech: "NDArray[np.int16]") -> None:
    tally = client.app.state.models.tally  # type: ignore[attr-defined]
    calls, audio_ms = tally.calls.total(), tally.audio_ms
    events = sent_call(client, speech, 16_000)
    assert len(of_kind(events, "call.scored")) > 1
    assert (tally.calls.total(), tally.audio_ms) == (calls + 1, audio_ms + events[-1]["audio_ms"])


def test_the_session_names_the_model_and_the_limits(client: TestClient, served_predictor: Predictor) -> None:
    with connected(client) as socket:
        created = received(socket)
    provenance = served_predictor.provenance
    assert created["protocol"] == "urgency-stream.v1"
    assert created["model"] == {
        "sha256": provenance.weights_sha256,
        "data_sha256": provenance.data_sha256,
        "speech_model": provenance.speech_model,
    }
    assert created["limits"]["message_bytes"] == StreamLimits().message_bytes


def test_a_turn_is_scored_as_soon_as_its_audio_is_there(client: TestClient, speech: "NDArray[np.int16]") -> None:
    with connected(client, listening="turns", text=True) as socket:
        socket.send_json(turn_message(Turn(700, 2700, "여기 집", "신고자")))
        socket.send_bytes(speech[: 27 * 1600].tobytes())
        events = until(socket, "call.scored")
        assert [event["type"] for event in events[1:]] == ["utterance.started", "utterance.scored", "call.scored"]
        assert (events[2]["text"], events[2]["speaker"]) == ("여기 집", "신고자")
        socket.send_json(turn_message(Turn(1000, 2000, "네")))  # after it was spoken
        late = until(socket, "call.scored")
        assert (late[-1]["utterances"], late[-1]["as_of_ms"]) == (2, 2700)


def test_text_is_told_only_to_a_client_that_asked(client: TestClient, speech: "NDArray[np.int16]") -> None:
    turns = [Turn(700, 2700, "비밀 이야기")]
    for text, occurs in ((False, False), (True, True)):
        events = sent_call(client, speech, 1600, turns, listening="turns", text=text)
        assert ("비밀" in json.dumps(events, ensure_ascii=False)) == occurs


def test_a_commit_scores_what_is_there_now(client: TestClient, speech: "NDArray[np.int16]") -> None:
    with connected(client) as socket:
        socket.send_bytes(speech[: 16 * 1600].tobytes())
        socket.send_json({"type": "commit"})
        events = until(socket, "call.scored")
    scored = events[-2]
    assert (scored["type"], scored["end_ms"]) == ("utterance.scored", 1600)
    assert events[-1]["utterances"] == 1


def test_minutes_of_silence_cut_nothing(served_root: ServedRoot, speech: "NDArray[np.int16]") -> None:
    quiet = pcm(silence(60_000))
    with small_client(served_root, stream=StreamLimits(slow_s=600, queued_s=600)) as client:
        events = sent_call(client, np.concatenate([quiet] * 3 + [speech]), 32_000)
    assert events[-1]["utterances"] >= 3
    assert not of_kind(events, "error")


def test_a_call_without_speech_has_no_score_and_says_so(client: TestClient) -> None:
    events = sent_call(client, pcm(silence(2000)), 1600)
    assert [event["type"] for event in events] == ["session.created", "error", "session.finished"]
    assert events[1]["problem"]["type"].endswith("no-speech")
    assert (events[1]["fatal"], events[2]["audio_ms"]) == (False, 2000)


BAD_MESSAGES = {
    "{": "unreadable-body",
    "[]": "invalid-request",
    "NaN": "invalid-request",
    '{"type": 7}': "invalid-request",
    '{"type": "turns"}': "invalid-request",
    '{"type": "turn", "start_ms": 0, "end_ms": 900}': "invalid-request",
    '{"type": "turn", "start_ms": NaN, "end_ms": 900, "text": "x"}': "invalid-request",
    '{"type": "turn", "start_ms": 0, "end_ms": 1e300, "text": "x"}': "invalid-request",
    '{"type": "turn", "start_ms": 0, "end_ms": 900, "text": "\\ud800"}': "unreadable-body",
    '{"type": "commit", "audio": ""}': "invalid-request",
    '{"type": "turn", "start_ms": 900, "end_ms": 0, "text": "x"}': "unusable-input",
    '{"type": "turn", "start_ms": 0, "end_ms": 300, "text": "x"}': "unusable-input",
    '{"type": "turn", "start_ms": 0, "end_ms": 86400000, "text": "x"}': "unusable-input",
    json.dumps(start()): "wrong-order",
    "[" * 5000: "unreadable-body",
}


@pytest.mark.parametrize("content", BAD_MESSAGES)
def test_a_bad_message_costs_only_itself(client: TestClient, speech: "NDArray[np.int16]", content: str) -> None:
    with connected(client, listening="turns") as socket:
        assert received(socket)["type"] == "session.created"
        socket.send_text(content)
        error = received(socket)
        assert error["type"] == "error"
        assert not error["fatal"]
        assert error["problem"]["type"].endswith(BAD_MESSAGES[content])
        socket.send_json(turn_message(Turn(0, 900, "네")))
        socket.send_bytes(speech[:16_000].tobytes())
        assert until(socket, "call.scored")[-1]["utterances"] == 1


def test_half_a_sample_is_refused(client: TestClient) -> None:
    with connected(client) as socket:
        assert received(socket)["type"] == "session.created"
        socket.send_bytes(b"abc")
        assert received(socket)["problem"]["type"].endswith("unusable-audio")


def test_turns_belong_to_a_session_that_is_given_them(client: TestClient) -> None:
    with connected(client) as socket:
        assert received(socket)["type"] == "session.created"
        socket.send_json(turn_message(Turn(0, 900, "네")))
        assert "finds them" in received(socket)["problem"]["detail"]


def test_nothing_follows_the_end(client: TestClient, speech: "NDArray[np.int16]") -> None:
    with connected(client) as socket:
        assert received(socket)["type"] == "session.created"
        for piece in pieces(speech, 16_000):
            socket.send_bytes(piece)
        socket.send_json({"type": "finish"})
        socket.send_json({"type": "commit"})
        socket.send_bytes(b"\0\0")
        events = until(socket, "session.finished")
        refused = [event["problem"]["type"] for event in of_kind(events, "error")]
        assert [kind.rpartition(":")[2] for kind in refused] == ["wrong-order", "wrong-order"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1000


def test_nothing_follows_the_last_event(client: TestClient) -> None:
    """Whatever arrives while the call ends is left out at the latest then."""
    with connected(client) as socket:
        socket.send_json({"type": "finish"})
        for _ in range(300):
            socket.send_text("?")
        events = until(socket, "session.finished")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert events[-1]["sequence"] == len(events)


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"\0\0", "wrong-order"),
        ('{"type": "finish"}', "wrong-order"),
        ("?", "unreadable-body"),
        (json.dumps(start(sample_rate=44_100)), "invalid-request"),
        (json.dumps(start(listening="nobody")), "invalid-request"),
        (json.dumps(start(resume={"session": "x", "sequence": 0})), "unknown-session"),
        (json.dumps(start(resume={"session": "x" * 500, "sequence": -1})), "invalid-request"),
    ],
)
def test_a_first_message_that_starts_nothing_ends_the_connection(
    client: TestClient, first: str | bytes, kind: str
) -> None:
    with client.websocket_connect(ADDRESS_OF_STREAM) as socket:
        if isinstance(first, bytes):
            socket.send_bytes(first)
        else:
            socket.send_text(first)
        error = received(socket)
        assert (error["fatal"], error["sequence"]) == (True, 0)
        assert error["problem"]["type"].endswith(kind)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008


def test_a_client_that_says_nothing_is_let_go(served_root: ServedRoot) -> None:
    with (
        small_client(served_root, stream=StreamLimits(start_s=0.01)) as client,
        client.websocket_connect(ADDRESS_OF_STREAM) as socket,
    ):
        assert received(socket)["problem"]["status"] == 408


def test_an_idle_limit_ends_a_connection_and_silence_does_not(served_root: ServedRoot) -> None:
    limits = StreamLimits(idle_s=0.3)
    with small_client(served_root, stream=limits) as client, connected(client) as socket:
        assert received(socket)["type"] == "session.created"
        for _ in range(20):
            socket.send_bytes(bytes(3200))
        assert received(socket)["problem"]["type"].endswith("too-quiet")


def test_a_server_without_a_model_says_so(served_root: ServedRoot, root_without_models: Any) -> None:
    root = ServedRoot(root_without_models, served_root.data, served_root.spoken)
    with small_client(root) as client, connected(client) as socket:
        error = received(socket)
        assert (error["fatal"], error["problem"]["status"]) == (True, 503)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1013


class TestLimits:
    def test_of_the_length_of_a_call(self, served_root: ServedRoot, speech: "NDArray[np.int16]") -> None:
        """What was sent before is scored."""
        with small_client(served_root, limits=Limits(audio_s=5)) as client, connected(client) as socket:
            for piece in pieces(speech[: 6 * 16_000], 1600):
                socket.send_bytes(piece)
            events = until(socket, "session.finished")
        assert of_kind(events, "error")[0]["problem"]["type"].endswith("call-too-long")
        assert (events[-1]["audio_ms"], events[-1]["utterances"] > 0) == (5000, True)

    def test_of_a_message(self, served_root: ServedRoot) -> None:
        with (
            small_client(served_root, stream=StreamLimits(message_bytes=1000)) as client,
            connected(client) as socket,
        ):
            assert received(socket)["type"] == "session.created"
            socket.send_bytes(bytes(1002))
            socket.send_text(" " * 1001)
            assert [received(socket)["problem"]["status"] for _ in range(2)] == [413, 413]

    def test_of_waiting_turns(self, served_root: ServedRoot) -> None:
        limits = Limits(utterances=3)
        with small_client(served_root, limits=limits) as client, connected(client, listening="turns") as socket:
            assert received(socket)["type"] == "session.created"
            for number in range(4):
                socket.send_json(turn_message(Turn(number * 1000, number * 1000 + 900, "네")))
            assert "3 turns" in received(socket)["problem"]["detail"]

    def test_of_connections(self, served_root: ServedRoot) -> None:
        with small_client(served_root, limits=Limits(connections=1)) as client, connected(client) as first:
            assert received(first)["type"] == "session.created"
            with connected(client) as second:
                assert received(second)["problem"]["type"].endswith("busy")

    def test_of_audio_that_waits(self, served_root: ServedRoot, speech: "NDArray[np.int16]") -> None:
        """A client that ignores `slow` loses its connection, and goes on where the server stopped."""
        limits = StreamLimits(slow_s=2, queued_s=6)
        with small_client(served_root, stream=limits) as client:
            with connected(client) as socket:
                created = received(socket)
                for _ in range(200):
                    socket.send_bytes(bytes(32_000))
                events = until(socket, "error")
                assert [event["state"] for event in of_kind(events, "backpressure")][:1] == ["slow"]
                assert events[-1]["problem"]["type"].endswith("too-fast")
            resume = {"session": created["session"], "sequence": events[-1]["sequence"]}
            with connected(client, resume=resume) as socket:
                resumed = received(socket)
                assert (resumed["type"], resumed["sequence"]) == ("session.resumed", resume["sequence"])
                assert 6 * 32_000 <= resumed["audio_bytes"] < 200 * 32_000
                assert received(socket)["state"] == "go"


@pytest.mark.parametrize("header", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_page_of_another_site_cannot_connect(client: TestClient, header: dict[str, str]) -> None:
    with (
        pytest.raises(WebSocketDenialResponse),
        client.websocket_connect(ADDRESS_OF_STREAM, headers=header),
    ):
        pass


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [([], None), (["bearer.eA", "urgency-stream.v1"], "urgency-stream.v1"), (["bearer.eA"], "bearer.eA")],
)
def test_a_subprotocol_that_was_offered_is_accepted(
    client: TestClient, offered: list[str], accepted: str | None
) -> None:
    """A browser refuses an answer without one of those that it offered; every client one that it did not offer."""
    with client.websocket_connect(ADDRESS_OF_STREAM, subprotocols=offered or None) as socket:
        assert socket.accepted_subprotocol == accepted


def test_a_token_is_needed_if_the_server_has_one(served_root: ServedRoot) -> None:
    offered = ["urgency-stream.v1", f"bearer.{base64.urlsafe_b64encode(b'secret').decode().rstrip('=')}"]
    with small_client(served_root, token="secret") as client:
        for refused in ({}, {"authorization": "Bearer other"}):
            with (
                pytest.raises(WebSocketDenialResponse),
                client.websocket_connect(ADDRESS_OF_STREAM, headers=refused),
            ):
                pass
        for accepted in ({"headers": {"authorization": "Bearer secret"}}, {"subprotocols": offered}):
            with client.websocket_connect(ADDRESS_OF_STREAM, **accepted) as socket:
                socket.send_json(start())
                assert received(socket)["type"] == "session.created"


def test_a_call_keeps_the_model_that_it_began_with(served_root: ServedRoot, speech: "NDArray[np.int16]") -> None:
    with small_client(served_root) as client, connected(client) as socket:
        assert received(socket)["type"] == "session.created"
        client.app.state.models._urgency.model = None  # type: ignore[attr-defined]
        for piece in pieces(speech, 16_000):
            socket.send_bytes(piece)
        socket.send_json({"type": "finish"})
        assert until(socket, "session.finished")[-1]["utterances"] >= 3


def test_an_utterance_that_is_not_recognised_costs_only_itself(
    client: TestClient, speech: "NDArray[np.int16]", monkeypatch: pytest.MonkeyPatch
) -> None:
    hear, failures = ServedUrgency.hear, [RecognitionError("the recogniser does not answer")]

    async def hear_later(served: ServedUrgency, cuts: Any) -> Any:
        if failures:
            raise failures.pop()
        return await hear(served, cuts)

    monkeypatch.setattr(ServedUrgency, "hear", hear_later)
    events = sent_call(client, speech, 1600)
    assert of_kind(events, "error")[0]["problem"]["type"].endswith("not-recognised")
    assert events[-1]["utterances"] >= 2


def test_a_fault_of_the_server_ends_the_call_and_says_nothing_of_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(audio: CallAudio, content: bytes) -> None:
        raise RuntimeError("비밀")

    monkeypatch.setattr(CallAudio, "add", fail)
    with connected(client) as socket:
        socket.send_bytes(bytes(32_000))
        events = until(socket, "error")
        assert (events[-1]["fatal"], events[-1]["problem"]["status"]) == (True, 500)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1011
    assert "비밀" not in json.dumps(events, ensure_ascii=False) + caplog.text
