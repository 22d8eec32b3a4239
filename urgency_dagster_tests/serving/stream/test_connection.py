"""One WebSocket of a session, without a model: the tests add the events."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from starlette.websockets import WebSocket

from urgency_dagster.serving.configuration import Limits, StreamLimits
from urgency_dagster.serving.stream.connection import serve_connection
from urgency_dagster.serving.stream.messages import SessionStart, UtteranceStarted
from urgency_dagster.serving.stream.session import Session
from urgency_dagster.serving.stream.sessions import Attachment, Sessions
from urgency_dagster_tests.serving.stream.conftest import start

LIMITS = StreamLimits()


class OneSession:
    """Gives every connection the same session."""

    stream_limits = LIMITS

    def __init__(self) -> None:
        cutters = ThreadPoolExecutor(1)  # never used
        self.attachment = Attachment(Session(SessionStart.model_validate(start()), Limits(), LIMITS, cutters))

    def attach(self, start: SessionStart) -> Attachment:
        return self.attachment

    def detach(self, attachment: Attachment) -> None:
        assert attachment is self.attachment


def test_the_end_of_a_connection_says_which_event_was_sent_last() -> None:
    """A client that reads slowly has not got the events that wait. It asks for them when it resumes."""

    async def scenario() -> list[dict[str, Any]]:
        sessions, sent, is_waiting = OneSession(), [], asyncio.Event()
        log = sessions.attachment.session.log
        for start_ms in (0, 1000, 2000):
            log.append(UtteranceStarted(type="utterance.started", start_ms=start_ms))
        arriving: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        arriving.put_nowait({"type": "websocket.connect"})
        arriving.put_nowait({"type": "websocket.receive", "text": json.dumps(start())})

        async def send(message: Any) -> None:
            event = json.loads(message.get("text", "{}"))
            if event.get("start_ms") == 1000:
                is_waiting.set()
                await asyncio.Event().wait()
            sent.append(event)

        socket = WebSocket({"type": "websocket", "subprotocols": []}, arriving.get, send)
        serving = asyncio.create_task(serve_connection(socket, cast("Sessions", sessions)))
        await is_waiting.wait()
        sessions.attachment.replaced.set()
        await serving
        return [event for event in sent if event]

    first, error = asyncio.run(scenario())
    assert (first["type"], first["sequence"]) == ("utterance.started", 1)
    assert (error["type"], error["fatal"], error["sequence"]) == ("error", True, 1)
