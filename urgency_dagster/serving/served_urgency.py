"""One loaded urgency model that answers many requests at a time."""

from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from urgency_dagster.serving.batching import MicroBatcher
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.probing import blank_vectors, check_finite
from urgency_dagster.serving.tally import Tally
from urgency_dagster.serving.worker_pool import WorkerPool
from urgency_dagster.urgency import Prediction, Predictor, RecordingPrediction, TaskLogits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from urgency_dagster.calls import Audio
    from urgency_dagster.listening import HeardCall, HeardTurns, Turn, TurnAudio

UTTERANCE_MAX_S = 60
"""Seconds of samples in memory up to which they count as an utterance of a call in progress."""


class UrgencyWorkers:
    """The threads in which the urgency models of a server work. Models that follow each other share them.

    Attributes:
        recordings: hears recordings.
        utterances: hears utterances of calls in progress, which must not wait for long recordings.
        network: computes logits, in one thread: tokenizers are not made for several.

    Args:
        limits: the number of threads and the length of the queues.
    """

    def __init__(self, limits: Limits) -> None:
        self.recordings = WorkerPool("recordings", limits.decoders, limits.waiting)
        self.utterances = WorkerPool("utterances", limits.decoders, limits.connections)
        self.network = ThreadPoolExecutor(1, thread_name_prefix="network")

    def close(self) -> None:
        """Drops the work that waits. The threads end after their present work."""
        self.recordings.close()
        self.utterances.close()
        self.network.shutdown(wait=False, cancel_futures=True)


class ServedUrgency:
    """An urgency model with its workers.

    Attributes:
        predictor: the model.
        tally: counts what is scored.

    Args:
        predictor: see above.
        workers: the threads.
        tally: see above.
    """

    def __init__(self, predictor: Predictor, workers: UrgencyWorkers, tally: Tally) -> None:
        self.predictor, self.tally, self._workers = predictor, tally, workers
        self._batcher = MicroBatcher(predictor.logits, workers.network, predictor.batch_size, tally.add_forward_pass)

    async def listen(self, audio: "Audio", turns: "Sequence[Turn] | None" = None) -> "HeardCall":
        """The turns of a recording with their vectors. Arguments and errors: see `urgency.Predictor.predict`.

        Raises:
            OverloadError: too many recordings wait.
        """
        pool = self._workers.utterances if _is_utterance(audio) else self._workers.recordings
        return await pool.run(self.predictor.listen, audio, turns)

    async def hear(self, cuts: "Sequence[TurnAudio]") -> "list[HeardTurns]":
        """Turns of a call in progress with their vectors. Arguments and errors: see `listening.Listener.hear`.

        Raises:
            OverloadError: too many utterances wait.
        """
        return await self._workers.utterances.run(lambda: list(self.predictor.listener.hear(cuts)))

    async def logits(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> TaskLogits:
        """The logits of N utterances. Arguments and errors: see `urgency.Predictor.predict_utterances`."""
        self.predictor.check(texts, vectors)  # here, so that it fails alone
        return await self._batcher.logits(texts, vectors.reshape(len(texts), -1, vectors.shape[-1]))

    async def predict_utterances(
        self, texts: Sequence[str], vectors: "NDArray[np.float32]", calls: Sequence[Hashable] | None = None
    ) -> Prediction:
        """Urgency and sentiment of N utterances and of their calls.

        Arguments and errors: see `urgency.Predictor.predict_utterances`.
        """
        return self.predictor.answer_utterances(await self.logits(texts, vectors), calls)

    async def predict(self, audio: "Audio", turns: "Sequence[Turn] | None" = None) -> RecordingPrediction:
        """Urgency and sentiment of a recording. Arguments and errors: see `listen`."""
        heard = await self.listen(audio, turns)
        if not heard.turns:
            return self.predictor.predict_heard(heard)  # raises that nothing was heard
        logits = await self.logits([turn.text or "" for turn in heard.turns], heard.vectors)
        answer = self.predictor.answer(heard, logits)
        self.tally.add_call(answer)
        return answer

    async def probe(self) -> None:
        """Has the network score an empty text, behind the requests that wait.

        It hears nothing: long recordings may keep every thread busy although the server works as it should.

        Raises:
            ArtefactError: a score is not finite.
        """
        check_finite(await self.logits([""], blank_vectors(self.predictor)))


def _is_utterance(audio: Any) -> bool:
    """Whether a recording is an utterance in memory. What is no recording at all is refused when it is heard."""
    if not isinstance(audio, tuple) or len(audio) != 2 or not hasattr(audio[0], "__len__"):
        return False
    return isinstance(audio[1], int) and len(audio[0]) <= UTTERANCE_MAX_S * audio[1]
