"""One call in progress: what a client sends becomes events. It goes on while the connection is lost."""

import asyncio
import secrets
from concurrent.futures import Executor

from pydantic import BaseModel, ValidationError

from urgency_dagster.errors import InputError, OverloadError, RecognitionError, UrgencyError
from urgency_dagster.serving.configuration import Limits, StreamLimits
from urgency_dagster.serving.problems import (
    INVALID_REQUEST,
    UNUSABLE_AUDIO,
    Fault,
    Problem,
    of_error,
    of_unexpected,
    of_validation,
)
from urgency_dagster.serving.schemas.calls import UrgencyModelAnswer
from urgency_dagster.serving.served_models import ServedModels
from urgency_dagster.serving.served_urgency import ServedUrgency
from urgency_dagster.serving.stream.call_audio import CallAudio
from urgency_dagster.serving.stream.call_scoring import CallScoring
from urgency_dagster.serving.stream.event_log import EventLog
from urgency_dagster.serving.stream.inbox import SAMPLE_BYTES, Inbox, Order
from urgency_dagster.serving.stream.messages import (
    CLIENT_MESSAGES,
    PROTOCOL,
    Backpressure,
    ClientMessage,
    Commit,
    Finish,
    SessionCreated,
    SessionStart,
    StreamLimitsAnswer,
    TurnMessage,
)
from urgency_dagster.serving.stream.stream_problems import CALL_TOO_LONG, MESSAGE_TOO_LARGE, WRONG_ORDER, error_event


class Session:
    """A call in progress.

    Attributes:
        id: its secret id.
        start: what the client asked for.
        log: its events.
        audio_bytes: bytes of audio that arrived.
        messages: text messages that arrived after the first.
        failure: what ended it too early; None if nothing did.

    Args:
        start: see above.
        limits: the limits of every request.
        stream_limits: the limits of a stream.
        cutters: the threads that find the turns.
    """

    def __init__(self, start: SessionStart, limits: Limits, stream_limits: StreamLimits, cutters: Executor) -> None:
        self.id = secrets.token_urlsafe(16)
        self.start, self.messages = start, 0
        self.log = EventLog(stream_limits.event_bytes)
        self._limits, self._stream_limits, self._cutters = limits, stream_limits, cutters
        self._inbox = Inbox(start.sample_rate, stream_limits.queued_s)
        self.failure: Problem | None = None
        self._is_slow = self._is_finishing = False

    @property
    def audio_bytes(self) -> int:
        """Bytes of audio that arrived."""
        return self._inbox.audio_bytes

    async def run(self, models: ServedModels) -> None:
        """Works on what arrives until the call has ended. It borrows the model of now for that time.

        Every error becomes an event.
        """
        try:
            with models.urgency() as served:
                await asyncio.to_thread(lambda: served.predictor.listener)  # the first use loads the speech model
                self.log.append(self._created(served))
                await self._work(self._scoring(served))
        except UrgencyError as error:
            self._fail(of_error(error))
        except Exception as error:  # noqa: BLE001 - the server must go on, and say nothing of the call
            self._fail(of_unexpected(error))
        finally:
            self._is_finishing = True
            self.log.close()

    def _fail(self, problem: Problem) -> None:
        self.failure = problem
        self.log.append(error_event(problem, fatal=True))

    def receive_audio(self, content: bytes) -> None:
        """Takes a piece of audio. After the last event, it is left out without a word.

        Raises:
            Problem: too much audio waits.
        """
        if self.log.is_closed:
            return
        if problem := self._audio_problem(content):
            self.log.append(error_event(problem, fatal=False))
            return
        self._inbox.put(content)
        self._tell_pressure()

    def receive_text(self, content: str) -> None:
        """Takes a message. One that cannot be used becomes an event. After the last event, it is left out.

        Raises:
            Problem: too much waits.
        """
        if self.log.is_closed:
            return
        try:
            order = self._order(content)
        except Problem as problem:
            self.log.append(error_event(problem, fatal=False))
        else:
            self._inbox.put(order)
            self._is_finishing = isinstance(order, Finish)
        self.messages += 1

    def _audio_problem(self, content: bytes) -> Problem | None:
        if self._is_finishing:
            return Problem(WRONG_ORDER, "Audio follows the end of the call.")
        if len(content) > self._stream_limits.message_bytes:
            return _too_large(self._stream_limits)
        if len(content) % SAMPLE_BYTES:
            return Problem(UNUSABLE_AUDIO, f"{len(content)} bytes are no whole 16-bit samples.")
        if self.audio_bytes + len(content) <= self._limits.audio_s * self.start.sample_rate * SAMPLE_BYTES:
            return None
        self._inbox.put(Finish(type="finish"))
        self._is_finishing = True
        return Problem(CALL_TOO_LONG, f"A call may have {self._limits.audio_s} s. It ends here.")

    def _order(self, content: str) -> Order:
        if len(content) > self._stream_limits.message_bytes:
            raise _too_large(self._stream_limits)
        order = parsed(content)
        if isinstance(order, SessionStart) or self._is_finishing:
            raise Problem(WRONG_ORDER, f"`{order.type}` cannot come now.")
        return order

    def _tell_pressure(self) -> None:
        """Says that the client is too fast, or no longer."""
        queued_ms, slow_ms = self._inbox.queued_ms, self._stream_limits.slow_s * 1000
        if not self._is_slow and queued_ms > slow_ms:
            self._is_slow = True
            self.log.append(Backpressure(type="backpressure", state="slow", queued_ms=queued_ms))
        elif self._is_slow and queued_ms <= slow_ms / 2:
            self._is_slow = False
            self.log.append(Backpressure(type="backpressure", state="go", queued_ms=queued_ms))

    async def _work(self, call: CallScoring) -> None:
        item: bytes | Order | None = None
        while not isinstance(item, Finish):
            item = await self._inbox.get()
            self._tell_pressure()
            try:
                await self._work_on(item, call)
            except (InputError, RecognitionError, OverloadError) as error:
                self.log.append(error_event(of_error(error), fatal=False))
        call.end()

    async def _work_on(self, item: bytes | Order, call: CallScoring) -> None:
        match item:
            case bytes():
                await call.add(item)
            case TurnMessage():
                await call.expect(item)
            case Commit():
                await call.commit()
            case Finish():
                await call.finish()

    def _scoring(self, served: ServedUrgency) -> CallScoring:
        start = self.start
        audio = CallAudio(start.sample_rate, start.listening, self._stream_limits.kept_audio_s)
        return CallScoring(start, audio, served, self.log, self._cutters, self._limits.utterances)

    def _created(self, served: ServedUrgency) -> SessionCreated:
        limits = self._stream_limits
        return SessionCreated(
            type="session.created",
            session=self.id,
            protocol=PROTOCOL,
            model=_model_answer(served),
            limits=StreamLimitsAnswer(
                audio_s=self._limits.audio_s,
                message_bytes=limits.message_bytes,
                waiting_turns=self._limits.utterances,
                kept_audio_s=limits.kept_audio_s,
                slow_s=limits.slow_s,
                queued_s=limits.queued_s,
                resume_s=limits.resume_s,
            ),
        )


class _MessageType(BaseModel):
    """The part of a message that says what it is."""

    type: str


def parsed(content: str) -> ClientMessage:
    """The message of a client.

    Raises:
        Problem: it is no JSON, or fits none of the messages.
    """
    try:
        name = _MessageType.model_validate_json(content).type
        if name not in CLIENT_MESSAGES:
            known = ", ".join(CLIENT_MESSAGES)
            raise Problem(INVALID_REQUEST, f"The `type` is none of {known}.", [Fault("is unknown", "#/type")])
        return CLIENT_MESSAGES[name].model_validate_json(content)
    except ValidationError as error:
        raise of_validation(error) from error


def _model_answer(served: ServedUrgency) -> UrgencyModelAnswer:
    provenance = served.predictor.provenance
    return UrgencyModelAnswer(
        sha256=provenance.weights_sha256,
        data_sha256=provenance.data_sha256,
        speech_model=provenance.speech_model,
    )


def _too_large(limits: StreamLimits) -> Problem:
    return Problem(MESSAGE_TOO_LARGE, f"A message may have {limits.message_bytes} bytes.")
