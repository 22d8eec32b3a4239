"""The scores of a call in progress: audio and turns become events."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from urgency_dagster.errors import InputError
from urgency_dagster.listening import Listening, Turn, TurnAudio
from urgency_dagster.serving.problems import NO_SPEECH, UNUSABLE_INPUT, Problem
from urgency_dagster.serving.schemas.calls import ClassAnswer
from urgency_dagster.serving.served_urgency import ServedUrgency
from urgency_dagster.serving.stream.call_audio import CallAudio
from urgency_dagster.serving.stream.event_log import EventLog
from urgency_dagster.serving.stream.messages import (
    CallScored,
    SessionFinished,
    SessionStart,
    TurnMessage,
    UtteranceScored,
    UtteranceStarted,
)
from urgency_dagster.serving.stream.stream_problems import error_event
from urgency_dagster.urgency import CallPrediction, ClassProbabilities, RunningMean, TurnPrediction

Result = TypeVar("Result")


class CallScoring:
    """Scores the utterances of a call and the call so far. It keeps sums, whatever the length of the call.

    Args:
        start: what the client asked for.
        audio: the audio of the call.
        served: the model.
        log: receives the events.
        cutters: the threads that find the turns.
        max_waiting: maximum turns whose audio has not arrived.
    """

    def __init__(
        self,
        start: SessionStart,
        audio: CallAudio,
        served: ServedUrgency,
        log: EventLog,
        cutters: Executor,
        max_waiting: int,
    ) -> None:
        self._start, self._audio, self._served = start, audio, served
        self._log, self._cutters, self._max_waiting = log, cutters, max_waiting
        self._mean, self._announced = RunningMean(), list[int]()
        self._answer: CallPrediction | None = None

    async def add(self, content: bytes) -> None:
        """Takes the next audio, raw PCM16.

        Raises:
            RecognitionError: the recogniser gives no text of an utterance.
        """
        await self._score_new(await self._in_thread(self._audio.add, content))

    async def expect(self, message: TurnMessage) -> None:
        """Takes a turn.

        Raises:
            InputError: it cannot be used, or too many turns wait for their audio.
        """
        if self._audio.waiting >= self._max_waiting:
            raise InputError(f"more than {self._max_waiting} turns that wait for their audio", "fewer", "send it later")
        turn = Turn(message.start_ms, message.end_ms, message.text, message.speaker)
        await self._score_new(await self._in_thread(self._audio.expect, turn))

    async def commit(self) -> None:
        """Ends the utterances that are being spoken, and scores the call.

        Raises:
            RecognitionError: the recogniser gives no text of an utterance.
        """
        await self._score(await self._in_thread(self._audio.commit))
        self._score_call()

    async def finish(self) -> None:
        """Scores the rest of the call.

        Raises:
            RecognitionError: the recogniser gives no text of an utterance.
        """
        await self._score(await self._in_thread(self._audio.finish))
        for turn, reason in self._audio.rejected:
            detail = f"The turn from {turn.start_ms} to {turn.end_ms} ms is refused: {reason}."
            self._log.append(error_event(Problem(UNUSABLE_INPUT, detail), fatal=False))
        self._score_call()

    def end(self) -> None:
        """Says that the call has ended, and counts it."""
        duration_ms, utterances = self._audio.duration_ms, self._mean.count
        if not utterances:
            self._log.append(error_event(Problem(NO_SPEECH, "No utterance of the call was scored."), fatal=False))
        if self._answer:
            self._served.tally.add_call(self._answer, duration_ms)
        self._log.append(SessionFinished(type="session.finished", audio_ms=duration_ms, utterances=utterances))

    async def _score_new(self, cuts: Sequence[TurnAudio]) -> None:
        """Scores turns, and the call if there are any."""
        await self._score(cuts)
        if cuts:
            self._score_call()

    async def _score(self, cuts: Sequence[TurnAudio]) -> None:
        self._announce(cuts)
        for heard in await self._served.hear(cuts) if cuts else []:
            logits = await self._served.logits([turn.text or "" for turn in heard.turns], heard.vectors)
            self._mean.add(logits)
            for prediction in self._served.predictor.answer_turns(heard.turns, logits):
                self._log.append(self._utterance_scored(prediction))

    def _score_call(self) -> None:
        if self._mean.count:
            self._log.append(self._call_scored())

    def _announce(self, cuts: Sequence[TurnAudio]) -> None:
        """Says which utterances have started. One that starts and ends in the same piece of audio is said too."""
        for start_ms, end_ms in ((cut.turn.start_ms, cut.turn.end_ms) for cut in cuts):
            # The start of a found turn can be earlier than announced: a short turn gets the silence before it.
            said = min((said_ms for said_ms in self._announced if start_ms <= said_ms < end_ms), default=None)
            if said is None:
                self._log.append(UtteranceStarted(type="utterance.started", start_ms=start_ms))
            else:
                self._announced.remove(said)
        started = list(self._audio.started_ms)
        for start_ms in sorted((Counter(started) - Counter(self._announced)).elements()):
            self._log.append(UtteranceStarted(type="utterance.started", start_ms=start_ms))
        self._announced = started

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._cutters, work, *arguments)

    def _utterance_scored(self, prediction: TurnPrediction) -> UtteranceScored:
        turn = prediction.turn
        return UtteranceScored(
            type="utterance.scored",
            start_ms=turn.start_ms,
            end_ms=turn.end_ms,
            speaker=turn.speaker,
            text=turn.text if self._start.text else None,
            urgency=_class_answer(prediction.urgency),
            sentiment=_class_answer(prediction.sentiment),
        )

    def _call_scored(self) -> CallScored:
        listening = self._listening()
        answer = self._answer = self._served.predictor.answer_call(self._mean.logits, listening)
        return CallScored(
            type="call.scored",
            as_of_ms=self._audio.duration_ms,
            utterances=self._mean.count,
            urgency=_class_answer(answer.urgency),
            sentiment=_class_answer(answer.sentiment),
            abstain=answer.abstain,
            alarm=answer.alarm,
            listening=listening,
        )

    def _listening(self) -> Listening:
        recogniser = self._served.predictor.listener.recogniser
        if self._start.listening == "turns":
            return "label"
        return recogniser.listening if recogniser else "none"


def _class_answer(answer: ClassProbabilities | None) -> ClassAnswer | None:
    return None if answer is None else ClassAnswer(label=answer.label, probabilities=answer.probabilities)
