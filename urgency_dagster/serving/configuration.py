"""Where the server listens, who may ask, and how much one client may ask for."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Limits:
    """Bounds of what one request or connection may ask for.

    Attributes:
        body_bytes: size of a request body with audio, which is stored in a file.
        json_bytes: size of any other request body, which is parsed in memory.
        audio_s: length of a recording in seconds.
        utterances: utterances of a request.
        rows: rows of an attention request.
        requests: simultaneous requests, without probes and `/metrics`.
        connections: simultaneous streams.
        request_s: time for a request in seconds.
        decoders: recordings that are decoded and heard at the same time.
        waiting: recordings that wait for that; utterances of calls in progress wait in a queue of their own.
    """

    body_bytes: int = 256 * 1024 * 1024
    json_bytes: int = 48 * 1024 * 1024
    audio_s: int = 3 * 60 * 60
    utterances: int = 2_000
    rows: int = 10_000
    requests: int = 64
    connections: int = 64
    request_s: int = 600
    decoders: int = 2
    waiting: int = 64


@dataclass(frozen=True)
class StreamLimits:
    """Bounds of one call in progress. Its length and its waiting turns are in `Limits`.

    Attributes:
        message_bytes: size of a message.
        start_s: seconds for the first message.
        idle_s: seconds without any message after which a connection ends; None for no end. Audio of silence is a
            message, so silence ends nothing.
        slow_s: seconds of unheard audio at which the client is told to slow down.
        queued_s: maximum seconds of unheard audio. More ends the connection, but not the session.
        kept_audio_s: seconds of audio that are kept for turns that are sent after they were spoken.
        event_bytes: size of the last events, which are kept for a client that reconnects or reads slowly.
        resume_s: seconds for which a session without a connection is kept.
        kept_sessions: sessions without a connection that are kept.
    """

    message_bytes: int = 1 << 20
    start_s: float = 10.0
    idle_s: float | None = None
    slow_s: float = 30.0
    queued_s: float = 120.0
    kept_audio_s: int = 60
    event_bytes: int = 1 << 20
    resume_s: float = 60.0
    kept_sessions: int = 16


@dataclass(frozen=True)
class ServingConfig:
    """How the models of a storage root are served.

    Attributes:
        storage: the storage root; None for URGENCY_STORAGE or the default.
        host: address to listen on.
        port: port to listen on.
        token: the secret that every request must carry; None if none is needed, which only loopback allows.
        limits: see `Limits`.
        stream: see `StreamLimits`.
        speech_engine: what computes the speech model, see `urgency.Predictor`.
    """

    storage: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    stream: StreamLimits = field(default_factory=StreamLimits)
    speech_engine: Literal["torch", "auto"] = "torch"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address to listen on."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
