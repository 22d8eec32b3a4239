"""A client of the stream: it sends a recording as a call in progress, and yields the events of the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from urgency_dagster.calls import SAMPLE_RATE, load_waveform
from urgency_dagster.errors import ServiceError
from urgency_dagster.listening import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from websockets.asyncio.client import ClientConnection

PIECE_MS = 100
"""Milliseconds of audio in a message."""

SAMPLE_RATES = (8_000, 16_000)
"""Sample rates that the server takes."""

ATTEMPTS, PAUSE_S = 5, 0.2
"""Attempts to go on after a lost connection, and seconds before each."""

MAX_EVENT_BYTES = 1 << 20


async def stream_call(
    url: str,
    audio: "str | Path | tuple[NDArray[np.generic], int]",
    turns: Iterable[Turn] | None = None,
    *,
    text: bool = False,
    token: str | None = None,
    real_time: bool = False,
) -> AsyncIterator[dict[str, Any]]:
    """Yields the events of the server for a recording that is sent as a call in progress.

    A lost connection is taken up again: the events are the same. An iteration that ends early ends the connection.

    Args:
        url: the stream, such as `ws://127.0.0.1:8000/v1/calls/stream`.
        audio: the path of a recording, or samples with their rate in Hz. 16-bit mono at 8 or 16 kHz is sent as it is.
        turns: the turns with their text, each sent after its audio; None to let the server find them.
        text: whether events hold the text of utterances.
        token: the token of the server.
        real_time: whether to send as fast as it was spoken, not as fast as the server hears.

    Raises:
        AudioError: the recording cannot be read.
        ServiceError: the server cannot be reached again, or ended the session with an error, which is yielded before.
    """
    call = _SentCall.of(audio, turns, text)
    failures = 0
    while not call.is_finished:
        try:
            async for event in _connected(url, call, token, real_time):
                failures = 0
                yield event
        except _lost_connection() as error:
            failures += 1
            if failures > ATTEMPTS or call.is_refused:
                received = f"the stream at {url} ended ({type(error).__name__})"
                raise ServiceError(received, "a server that goes on", "look at its last event and its log") from error
            await asyncio.sleep(PAUSE_S * failures)


@dataclass
class _SentCall:
    """A recording, and how far it is sent and answered.

    Attributes:
        content: its audio, PCM16.
        sample_rate: samples per second.
        turns: the turns with the byte after which each is sent; None to let the server find them.
        text: whether events hold text.
        audio_bytes: bytes that were sent.
        messages: messages that were sent.
        session: the id of the session; None before it has begun.
        sequence: number of the last event.
        may_send: is cleared while the server asks to send nothing.
        is_finished: whether the last event arrived.
        is_refused: whether the session cannot be resumed.
    """

    content: bytes
    sample_rate: int
    turns: list[tuple[int, Turn]] | None
    text: bool
    audio_bytes: int = 0
    messages: int = 0
    session: str | None = None
    sequence: int = 0
    may_send: asyncio.Event = field(default_factory=asyncio.Event)
    is_finished: bool = False
    is_refused: bool = False

    @classmethod
    def of(
        cls, audio: "str | Path | tuple[NDArray[np.generic], int]", turns: Iterable[Turn] | None, text: bool
    ) -> "_SentCall":
        content, sample_rate = pcm16(audio)
        if turns is None:
            return cls(content, sample_rate, None, text)
        last = len(content)
        ends = [(min(_byte_at(turn.end_ms, sample_rate), last), turn) for turn in turns]
        return cls(content, sample_rate, sorted(ends, key=lambda end: end[0]), text)

    def start(self) -> dict[str, Any]:
        """The first message of a connection."""
        listening: Literal["turns", "recogniser"] = "recogniser" if self.turns is None else "turns"
        resume = {"session": self.session, "sequence": self.sequence} if self.session else None
        return {
            "type": "session.start",
            "sample_rate": self.sample_rate,
            "listening": listening,
            "text": self.text,
            "resume": resume,
        }

    def next(self) -> str | bytes | None:
        """The next message; None after the last."""
        turns, last = self.turns or [], len(self.content)
        end = turns[self.messages][0] if self.messages < len(turns) else last
        if self.audio_bytes < end:
            piece = self.content[self.audio_bytes : min(end, self.audio_bytes + _byte_at(PIECE_MS, self.sample_rate))]
            self.audio_bytes += len(piece)
            return piece
        self.messages += 1
        if self.messages <= len(turns):
            turn = turns[self.messages - 1][1]
            return json.dumps(
                {
                    "type": "turn",
                    "start_ms": turn.start_ms,
                    "end_ms": turn.end_ms,
                    "text": turn.text or "",
                    "speaker": turn.speaker,
                }
            )
        return json.dumps({"type": "finish"}) if self.messages == len(turns) + 1 else None

    def take(self, event: dict[str, Any]) -> None:
        """Follows an event of the server. One that is not kept has the number of the last one that was sent."""
        self.sequence = max(self.sequence, event["sequence"])
        match event["type"]:
            case "session.created":
                self.session = event["session"]
                self.may_send.set()
            case "session.resumed":
                self.audio_bytes, self.messages = event["audio_bytes"], event["messages"]
                self.may_send.set()
            case "backpressure" if event["state"] == "slow":
                self.may_send.clear()
            case "backpressure":
                self.may_send.set()
            case "error" if event["fatal"]:
                self.is_refused = event["problem"]["status"] != 429  # too fast: it goes on later
            case "session.finished":
                self.is_finished = True


async def _connected(url: str, call: _SentCall, token: str | None, real_time: bool) -> AsyncIterator[dict[str, Any]]:
    """Yields the events of one connection."""
    from websockets.asyncio.client import connect
    from websockets.typing import Subprotocol

    from urgency_dagster.serving.stream.messages import PROTOCOL

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    call.may_send.clear()
    async with connect(
        url,
        subprotocols=[Subprotocol(PROTOCOL)],
        additional_headers=headers,
        max_size=MAX_EVENT_BYTES,
        compression=None,
        proxy=None,
    ) as socket:
        await socket.send(json.dumps(call.start()))
        sending = asyncio.create_task(_send(socket, call, real_time))
        try:
            async for content in socket:
                event: dict[str, Any] = json.loads(content)
                call.take(event)
                yield event
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, *_lost_connection()):
                await sending
    if not call.is_finished:
        raise ConnectionError


async def _send(socket: "ClientConnection", call: _SentCall, real_time: bool) -> None:
    await call.may_send.wait()
    loop = asyncio.get_running_loop()
    began, began_bytes, answered_bytes = loop.time(), call.audio_bytes, call.audio_bytes
    while (message := call.next()) is not None:
        await socket.send(message)
        if real_time:
            await asyncio.sleep(began + (call.audio_bytes - began_bytes) / (2 * call.sample_rate) - loop.time())
        elif call.audio_bytes - answered_bytes >= _byte_at(1000, call.sample_rate):
            # The answer to a ping shows that the server has read on. Without it, the buffers of the two machines would
            # take a whole recording before `backpressure` can arrive.
            await (await socket.ping())
            answered_bytes = call.audio_bytes
        await call.may_send.wait()


def pcm16(audio: "str | Path | tuple[NDArray[np.generic], int]") -> tuple[bytes, int]:
    """A recording as PCM16, mono, and its rate: 8,000 or 16,000. Other recordings are resampled to 16 kHz.

    Raises:
        AudioError: it cannot be read.
    """
    import numpy as np
    import soundfile

    if not isinstance(audio, tuple):
        with suppress(soundfile.LibsndfileError), soundfile.SoundFile(audio) as file:
            if file.samplerate in SAMPLE_RATES and file.channels == 1 and file.subtype == "PCM_16":
                return file.read(dtype="int16").astype("<i2").tobytes(), file.samplerate
    elif audio[1] in SAMPLE_RATES and audio[0].dtype == np.int16 and audio[0].ndim == 1:
        return audio[0].astype("<i2").tobytes(), audio[1]
    waveform = load_waveform(audio)
    return (np.clip(waveform, -1, 1) * 32_767).round().astype("<i2").tobytes(), SAMPLE_RATE


def _byte_at(time_ms: int, sample_rate: int) -> int:
    return 2 * -(-time_ms * sample_rate // 1000)


def _lost_connection() -> tuple[type[Exception], ...]:
    """What is raised when a connection ends or cannot be opened."""
    from websockets.exceptions import WebSocketException

    return WebSocketException, OSError, TimeoutError
