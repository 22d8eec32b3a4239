"""Recognition by a server that speaks OpenAI's `/v1/audio/transcriptions`, such as vLLM, speaches or FunASR."""

import io
import json
import time
import wave
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from urgency_dagster import calls
from urgency_dagster.errors import RecognitionError, SettingsError
from urgency_dagster.listening.recognition.recogniser import Segment, Transcript, composed
from urgency_dagster.listening.turns import Listening

if TYPE_CHECKING:
    import httpx2
    import numpy as np
    from numpy.typing import NDArray

VERSION_PATH, ENDPOINT = "/v1", "/audio/transcriptions"
"""Source: OpenAI's API reference, "Create transcription"."""

DEFAULT_MODEL = "whisper-1"
"""The model of a request if the address names none. Servers with one model ignore it."""

TIMEOUT_S = 30.0
"""Maximum seconds of one request, from its start to the last byte of the answer."""

ATTEMPTS = 3
"""Requests for one segment, if the server cannot be reached, is too slow, or says that it is busy."""

PAUSE_S = 0.5
"""Seconds before the second attempt. Each further pause is twice as long."""

MAX_ANSWER_BYTES = 1 << 20
"""Maximum bytes of an answer. The text of a segment has some kilobytes."""

MAX_PORT = 65_535

BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""Status codes after which the same request can succeed."""


class ServerRecogniser:
    """A transcription server. Audio is sent to it as WAV, and nothing is sent to anyone else.

    Args:
        url: its address with http or https, up to the port, to `/v1`, or to the endpoint itself. A fragment names the
            model: `http://127.0.0.1:8000/v1#large-v3`.
        timeout_s: maximum seconds of one request.
        pause_s: seconds before the second attempt.

    Raises:
        SettingsError: the address is no URL of http or https.
    """

    listening: Listening = "http"
    needs_tokens = False

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S) -> None:
        self._url, self._model = _endpoint(url)
        self._timeout_s, self._pause_s = timeout_s, pause_s
        self._attempts = ATTEMPTS

    def transcripts(self, segments: Sequence[Segment]) -> list[Transcript]:
        """See `Recogniser.transcripts`. After a call without an answer, the next one is tried only once."""
        import httpx2

        # Without the proxies and passwords of the environment: audio goes to this server only.
        with httpx2.Client(timeout=self._timeout_s, trust_env=False) as client:
            attempts, self._attempts = self._attempts, 1
            transcripts = [self._transcript(client, segment, attempts) for segment in segments]
        self._attempts = ATTEMPTS
        return transcripts

    def _transcript(self, client: "httpx2.Client", segment: Segment, attempts: int) -> Transcript:
        recording = wav_bytes(segment.waveform)
        for attempt in range(attempts - 1):
            try:
                return self._asked(client, recording)
            except _BusyError:
                time.sleep(self._pause_s * 2**attempt)
        return self._asked(client, recording)

    def _asked(self, client: "httpx2.Client", recording: bytes) -> Transcript:
        """The answer to one request.

        Raises:
            RecognitionError: there is no answer in time, or it is no transcription.
        """
        import httpx2

        form = {"model": self._model, "language": "ko", "response_format": "json", "temperature": "0"}
        files = {"file": ("turn.wav", recording, "audio/wav")}
        end = time.monotonic() + self._timeout_s
        try:
            with client.stream("POST", self._url, data=form, files=files) as response:
                self._check_status(response.status_code)
                content = bytearray()
                for block in response.iter_bytes():
                    content += block
                    self._check_progress(len(content), end)
        except httpx2.HTTPError as error:
            raise self._without_answer(_BusyError, f"does not answer ({type(error).__name__})") from error
        return Transcript(composed(self._text(bytes(content))))

    def _check_status(self, status: int) -> None:
        if status != 200:
            raise self._without_answer(_BusyError if status in BUSY else RecognitionError, f"answers {status}")

    def _check_progress(self, received_bytes: int, end: float) -> None:
        if received_bytes > MAX_ANSWER_BYTES:
            raise self._without_answer(RecognitionError, f"answers with more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > end:
            raise self._without_answer(_BusyError, f"does not answer within {self._timeout_s:g} s")

    def _text(self, content: bytes) -> str:
        try:
            answer: Any = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._without_answer(RecognitionError, "does not answer in JSON") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise self._without_answer(RecognitionError, "answers without a text")
        return str(answer["text"])

    def _without_answer(self, kind: type[RecognitionError], what: str) -> RecognitionError:
        server = f"{self._url.scheme}://{self._url.netloc.decode()}"  # no password, which the address may hold
        return kind(
            f"the recogniser at {server} {what}",
            f"a server that answers POST {ENDPOINT} as OpenAI's does",
            "start it, or set URGENCY_RECOGNISER to another recogniser",
        )


class _BusyError(RecognitionError):
    """The same request can succeed later."""


def _endpoint(url: str) -> "tuple[httpx2.URL, str]":
    """The address of the endpoint, and the name of the model.

    Raises:
        SettingsError: the address is no URL of http or https.
    """
    import httpx2

    try:
        address = httpx2.URL(url)
        address.host.encode("idna")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise _no_url(url) from error
    if address.scheme not in ("http", "https") or not address.host or not 0 < (address.port or 1) <= MAX_PORT:
        raise _no_url(url)
    path = address.path.rstrip("/")
    if not path.endswith(ENDPOINT):
        path += ENDPOINT if path.endswith(VERSION_PATH) else VERSION_PATH + ENDPOINT
    return address.copy_with(path=path, fragment=None), address.fragment or DEFAULT_MODEL


def _no_url(url: str) -> SettingsError:
    return SettingsError(
        f"the recogniser's address is {url!r}", "such as http://127.0.0.1:8000/v1", "correct URGENCY_RECOGNISER"
    )


def wav_bytes(waveform: "NDArray[np.float32]") -> bytes:
    """A WAV file of a waveform: mono, 16 bits, 16 kHz. Samples beyond full scale are clipped.

    Args:
        waveform: mono float32 at 16 kHz, full scale 1.
    """
    import numpy as np

    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(calls.SAMPLE_RATE)
        file.writeframes((np.clip(waveform, -1, 1) * 32_767).round().astype("<i2").tobytes())
    return target.getvalue()
