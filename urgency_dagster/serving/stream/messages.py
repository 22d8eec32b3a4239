"""The messages of a stream. `docs/asyncapi.yaml` describes them with the schemas of these classes."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from urgency_dagster.listening import Listening
from urgency_dagster.serving.schemas.calls import ClassAnswer, Milliseconds, UrgencyModelAnswer
from urgency_dagster.serving.schemas.problems import ProblemAnswer
from urgency_dagster.serving.schemas.strict import StrictModel

PROTOCOL: Final = "urgency-stream.v1"
"""Name and version of the protocol. It is the subprotocol of the WebSocket too."""

MAX_TEXT, MAX_SPEAKER, MAX_SESSION = 2_000, 100, 100
"""Maximum characters of a turn's text and speaker, and of the id of a session."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A number that JavaScript holds exactly."""


class Resume(StrictModel):
    """Where a client goes on after a lost connection."""

    session: str = Field(max_length=MAX_SESSION, description="The `session` of `session.created`.")
    sequence: Count = Field(description="The last `sequence` that the client received.")


class SessionStart(StrictModel):
    """The first message of a connection."""

    type: Literal["session.start"]
    sample_rate: Literal[8000, 16000] = Field(description="Samples per second of the audio.")
    listening: Literal["recogniser", "turns"] = Field(
        "recogniser", description="`recogniser`: the server finds the utterances. `turns`: the client sends them."
    )
    text: bool = Field(False, description="Whether events hold the text of utterances.")
    resume: Resume | None = Field(None, description="Goes on with a session. The other fields must be as before.")


class TurnMessage(StrictModel):
    """An utterance of a call with `listening: turns`. It is scored as soon as its audio has arrived."""

    type: Literal["turn"]
    start_ms: Milliseconds = Field(description="Start in milliseconds from the start of the call.")
    end_ms: Milliseconds = Field(description="End in milliseconds.")
    text: str = Field(max_length=MAX_TEXT, description="What is said.")
    speaker: str | None = Field(None, max_length=MAX_SPEAKER, description="Who speaks.")


class Commit(StrictModel):
    """Asks to end the utterances that are being spoken, and to score the call with what is there now."""

    type: Literal["commit"]


class Finish(StrictModel):
    """The call has ended. The server scores the rest, and ends the session."""

    type: Literal["finish"]


ClientMessage: TypeAlias = SessionStart | TurnMessage | Commit | Finish

CLIENT_MESSAGES: dict[str, type[ClientMessage]] = {
    "session.start": SessionStart,
    "turn": TurnMessage,
    "commit": Commit,
    "finish": Finish,
}
"""The messages of a client by their type. Audio is a binary message."""


class Event(StrictModel):
    """What every event of the server has."""

    sequence: Count = Field(0, description="Number of the event in its session, from 1. 0 if there is no session.")


class StreamLimitsAnswer(StrictModel):
    """The limits of a session."""

    audio_s: int = Field(description="Maximum seconds of the call.")
    message_bytes: int = Field(description="Maximum bytes of a message.")
    waiting_turns: int = Field(description="Maximum turns whose audio has not arrived.")
    kept_audio_s: int = Field(description="Seconds for which a turn can be sent after its start. No turn is longer.")
    slow_s: float = Field(description="Seconds of unheard audio at which `backpressure` says `slow`.")
    queued_s: float = Field(description="Maximum seconds of unheard audio.")
    resume_s: float = Field(description="Seconds for which the session can be resumed.")


class SessionCreated(Event):
    """The session has begun. Audio can be sent."""

    type: Literal["session.created"]
    session: str = Field(description="Secret id, to go on after a lost connection.")
    protocol: Literal["urgency-stream.v1"] = Field(description="Name and version of the protocol.")
    model: UrgencyModelAnswer = Field(description="The model that answers until the session ends.")
    limits: StreamLimitsAnswer = Field(description="The limits of the session.")


class SessionResumed(Event):
    """The session goes on. The events after the last one that the client received follow.

    Its `sequence` is the number that the client sent.
    """

    type: Literal["session.resumed"]
    session: str = Field(description="As sent.")
    audio_bytes: Count = Field(description="Bytes of audio that have arrived. The client goes on with the next byte.")
    messages: Count = Field(description="Text messages that have arrived, without `session.start`.")


class UtteranceStarted(Event):
    """Somebody began to speak. The utterance can still prove too short to be scored."""

    type: Literal["utterance.started"]
    start_ms: int = Field(description="Start in milliseconds. That of `utterance.scored` can be earlier.")


class UtteranceScored(Event):
    """An utterance has its score."""

    type: Literal["utterance.scored"]
    start_ms: int = Field(description="Start in milliseconds.")
    end_ms: int = Field(description="End in milliseconds.")
    speaker: str | None = Field(description="Who speaks; null if it is not known.")
    text: str | None = Field(description="What is said. Null unless the client asked for it.")
    urgency: ClassAnswer | None = Field(description="Null if the training left it out.")
    sentiment: ClassAnswer | None = Field(description="Null if the training left it out.")


class CallScored(Event):
    """The score of the call so far, from all its utterances."""

    type: Literal["call.scored"]
    as_of_ms: int = Field(description="Milliseconds of audio that were heard.")
    utterances: int = Field(description="Number of scored utterances.")
    urgency: ClassAnswer | None = Field(description="Null if the training left it out.")
    sentiment: ClassAnswer | None = Field(description="Null if the training left it out.")
    abstain: bool | None = Field(description="True if a person should decide; null without a threshold.")
    alarm: bool | None = Field(description="True if 상 is probable enough for an alarm; null without a threshold.")
    listening: Listening = Field(description="Where the text comes from: given, a recogniser, or nowhere.")


class Backpressure(Event):
    """The server is behind, or has caught up."""

    type: Literal["backpressure"]
    state: Literal["slow", "go"] = Field(description="`slow`: send no more audio until `go`.")
    queued_ms: int = Field(description="Milliseconds of unheard audio.")


class ErrorEvent(Event):
    """Something cannot be done. What follows depends on `fatal`."""

    type: Literal["error"]
    fatal: bool = Field(description="Whether the connection ends. Otherwise only the message or utterance is lost.")
    problem: ProblemAnswer = Field(description="A problem document (RFC 9457).")


class SessionFinished(Event):
    """The session has ended. It is the last event."""

    type: Literal["session.finished"]
    audio_ms: int = Field(description="Length of the call in milliseconds.")
    utterances: int = Field(description="Number of scored utterances.")


ServerEvent: TypeAlias = (
    SessionCreated
    | SessionResumed
    | UtteranceStarted
    | UtteranceScored
    | CallScored
    | Backpressure
    | ErrorEvent
    | SessionFinished
)

SERVER_EVENTS: dict[str, type[ServerEvent]] = {
    "session.created": SessionCreated,
    "session.resumed": SessionResumed,
    "utterance.started": UtteranceStarted,
    "utterance.scored": UtteranceScored,
    "call.scored": CallScored,
    "backpressure": Backpressure,
    "error": ErrorEvent,
    "session.finished": SessionFinished,
}
"""The events of the server by their type."""
