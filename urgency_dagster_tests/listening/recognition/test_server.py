"""A transcription server that answers, is busy, slow, wrong or gone."""

import json
import logging
import socket
import unicodedata
from collections.abc import Iterator

import numpy as np
import pytest

from urgency_dagster.errors import RecognitionError, SettingsError
from urgency_dagster.listening import Segment, Turn, load_listener
from urgency_dagster.listening.recognition.server import ATTEMPTS, MAX_ANSWER_BYTES, ServerRecogniser
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.conftest import LAYER
from urgency_dagster_tests.listening.conftest import Noise
from urgency_dagster_tests.listening.recognition.transcription_server import (
    Answer,
    TranscriptionServer,
    drips,
    hangs_up,
    running,
    says,
    waits,
)

SECRET = "비밀동 칠십칠번지"


@pytest.fixture
def server() -> Iterator[TranscriptionServer]:
    with running() as started:
        yield started


def recogniser(server: TranscriptionServer, **changed: float) -> ServerRecogniser:
    return ServerRecogniser(server.url, pause_s=0, **changed)


def segment(samples: int = 8000) -> Segment:
    return Segment(np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32))


def text(server: TranscriptionServer, **changed: float) -> str:
    (transcript,) = recogniser(server, **changed).transcripts([segment()])
    return transcript.text


def test_turns_get_the_text_of_the_server(
    server: TranscriptionServer, models: dict[str, PretrainedModel], noise: Noise
) -> None:
    listener = load_listener(models[LAYER], device="cpu", recogniser=f"http:{server.url}")
    heard = listener.listen(noise(3000), [Turn(1000, 2500), Turn(0, 900), Turn(2000, 2600, "주어진 글")])
    assert [turn.text for turn in heard.turns] == ["들린 글 14400", "들린 글 24000", "주어진 글"]
    assert (heard.listening, len(server.requests)) == ("http", 2)


def test_the_request_is_that_of_openais_clients(server: TranscriptionServer) -> None:
    waveform = np.array([0, 0.5, -0.5, 1.5, -1.5], np.float32)
    recogniser(server).transcripts([Segment(waveform)])
    ((path, form),) = server.requests
    file = form.pop("file")
    assert path == "/v1/audio/transcriptions"
    assert form == {"model": "whisper-1", "language": "ko", "response_format": "json", "temperature": "0"}
    np.testing.assert_allclose(np.asarray(file, dtype=float), [0, 0.5, -0.5, 1, -1], atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "http:"])
@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/audio/transcriptions"])
def test_an_address_may_end_at_the_port_the_version_or_the_endpoint(
    server: TranscriptionServer, models: dict[str, PretrainedModel], noise: Noise, path: str, prefix: str
) -> None:
    listener = load_listener(models[LAYER], device="cpu", recogniser=f"{prefix}{server.url}{path}#large-v3")
    assert listener.listen(noise(900), [Turn(0, 900)]).turns[0].text == "들린 글 14400"
    ((asked, form),) = server.requests
    assert (asked, form["model"]) == ("/v1/audio/transcriptions", "large-v3")


def test_a_path_before_the_version_is_kept(server: TranscriptionServer) -> None:
    ServerRecogniser(f"{server.url}/speech/v1").transcripts([segment()])
    assert server.requests[0][0] == "/speech/v1/audio/transcriptions"


@pytest.mark.parametrize("busy", [says({}, 503), says({}, 429), hangs_up, says({"text": "x"}, claimed=999)])
def test_a_busy_server_is_asked_again(server: TranscriptionServer, busy: Answer) -> None:
    server.answers = [busy] * (ATTEMPTS - 1)
    assert text(server) == "들린 글 8000"
    assert len(server.requests) == ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "message", "requests"),
    [
        (says({}, 503), "answers 503", ATTEMPTS),
        (says({}, 400), "answers 400", 1),
        (says({}, 401), "answers 401", 1),
        (says({}, 307), "answers 307", 1),
        (says(b"no json"), "does not answer in JSON", 1),
        (says(b"\xff"), "does not answer in JSON", 1),
        (says(b"[" * 100_000), "does not answer in JSON", 1),
        (says(["text"]), "answers without a text", 1),
        (says({"text": None}), "answers without a text", 1),
        (says({"error": SECRET}), "answers without a text", 1),
        (says(b" " * (MAX_ANSWER_BYTES + 1)), "answers with more than", 1),
        (hangs_up, "does not answer", ATTEMPTS),
    ],
)
def test_a_wrong_answer_is_an_error_of_this_call(
    server: TranscriptionServer, answer: Answer, message: str, requests: int
) -> None:
    server.answers = [answer] * requests
    asked = recogniser(server)
    with pytest.raises(RecognitionError, match=f"the recogniser at {server.url} {message}"):
        asked.transcripts([segment()])
    assert len(server.requests) == requests
    (transcript,) = asked.transcripts([segment()])
    assert transcript.text == "들린 글 8000"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"text": "  \\uBD88 \\n\\tnow  "}', "불 now"),
        ({"text": unicodedata.normalize("NFD", "불이")}, "불이"),
        (b'{"text": "\\uD800x"}', "?x"),
        ({"text": ""}, ""),
    ],
)
def test_a_text_is_one_that_tables_and_tokenizers_take(
    server: TranscriptionServer, answer: object, expected: str
) -> None:
    server.answers = [says(answer)]
    assert text(server) == expected


@pytest.mark.parametrize("slow", [waits, drips])
def test_a_slow_server_is_an_error_of_this_call(server: TranscriptionServer, slow: Answer) -> None:
    server.answers = [slow] * ATTEMPTS
    with pytest.raises(RecognitionError, match="does not answer"):
        text(server, timeout_s=0.2)
    assert len(server.requests) == ATTEMPTS


def test_a_server_that_is_gone_is_an_error_of_this_call() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(RecognitionError, match=r"does not answer \(ConnectError\)"):
        ServerRecogniser(address, pause_s=0).transcripts([segment()])


def test_after_a_call_without_an_answer_the_next_is_tried_once(server: TranscriptionServer) -> None:
    server.answers = [says({}, 503)] * (ATTEMPTS + 1)
    asked = recogniser(server)
    for requests in (ATTEMPTS, ATTEMPTS + 1):
        with pytest.raises(RecognitionError):
            asked.transcripts([segment(), segment()])
        assert len(server.requests) == requests
    asked.transcripts([segment()])
    server.answers = [says({}, 503)] * (ATTEMPTS - 1)
    assert asked.transcripts([segment()])[0].text == "들린 글 8000"


def test_a_call_without_an_answer_costs_no_other_call(
    server: TranscriptionServer, models: dict[str, PretrainedModel], noise: Noise
) -> None:
    listener = load_listener(models[LAYER], device="cpu", recogniser=recogniser(server))
    server.answers = [says({"text": "첫째"}), says({}, 400)]
    with pytest.raises(RecognitionError):
        listener.listen(noise(3000), [Turn(0, 900), Turn(1000, 1900)])
    heard = listener.listen(noise(3000), [Turn(0, 900), Turn(1000, 1900)])
    assert [turn.text for turn in heard.turns] == ["들린 글 14400"] * 2


def test_nobody_is_asked_for_turns_with_text(
    server: TranscriptionServer, models: dict[str, PretrainedModel], noise: Noise
) -> None:
    server.shutdown()
    listener = load_listener(models[LAYER], device="cpu", recogniser=recogniser(server))
    assert listener.listen(noise(1000), [Turn(0, 900, "주어진 글")]).listening == "label"
    assert listener.listen(noise(300), [Turn(0, 300)]).turns == ()


@pytest.mark.parametrize(
    "answer", [says({"text": SECRET}), says({"error": SECRET}), says(SECRET.encode(), 500), says(SECRET.encode())]
)
def test_text_reaches_no_log_and_no_error(
    server: TranscriptionServer, answer: Answer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answers = [answer] * ATTEMPTS
    error = ""
    with caplog.at_level(logging.DEBUG):
        try:
            text(server)
        except RecognitionError as raised:
            error = str(raised)
    said = "\n".join([caplog.text, error, *capfd.readouterr()])
    for word in [*SECRET.split(), *(json.dumps(part).strip('"') for part in SECRET.split()), "RIFF"]:
        assert word not in said


def test_a_password_in_the_address_is_in_no_error(server: TranscriptionServer) -> None:
    server.answers = [says({}, 400)]
    with pytest.raises(RecognitionError) as raised:
        ServerRecogniser(server.url.replace("//", "//user:password@")).transcripts([segment()])
    assert server.url in str(raised.value)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_audio_goes_to_no_proxy(server: TranscriptionServer, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert text(server) == "들린 글 8000"


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8000", "ftp://host", "http://", "http://host:port", "http://host:99999999", "http://a..b"],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="URGENCY_RECOGNISER"):
        ServerRecogniser(address)
