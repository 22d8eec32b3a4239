"""`WS /v1/calls/stream`: a call in progress."""

from fastapi import APIRouter, WebSocket

from urgency_dagster.serving.stream.connection import serve_connection

router = APIRouter(prefix="/v1")


@router.websocket("/calls/stream")
async def stream_call(socket: WebSocket) -> None:
    """Scores a call while it goes on. `docs/asyncapi.yaml` describes the messages."""
    await serve_connection(socket, socket.app.state.sessions)
