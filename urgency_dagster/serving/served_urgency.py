"""One loaded urgency model that answers many requests at a time."""

from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from urgency_dagster.serving.batching import MicroBatcher
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.probing import blank_vectors, check_finite
from urgency_dagster.serving.tally import Tally
from urgency_dagster.serving.worker_pool import WorkerPool, use_cores
from urgency_dagster.urgency import Prediction, Predictor, RecordingPrediction, TaskLogits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from urgency_dagster.calls import Audio
    from urgency_dagster.listening import HeardCall, HeardTurns, Turn, TurnAudio


MAX_CORES = 8
"""Cores of one forward pass at most: on more, an utterance of seconds hardly ends earlier."""


class UrgencyWorkers:
    """The threads in which the urgency models of a server work. Models that follow each other share them.

    Attributes:
        recordings: hears recordings.
        utterances: hears utterances of calls in progress, which must not wait for long recordings.
        network: computes logits, in one thread: tokenizers are not made for several.

    Recordings share the cores, for throughput. An utterance may use all of them, because somebody waits for it.

    Args:
        limits: the number of threads and the length of the queues.
        cores: the cores of this process; None for what torch uses by default, which OMP_NUM_THREADS lowers.
    """

    def __init__(self, limits: Limits, cores: int | None = None) -> None:
        import torch

        cores = cores or torch.get_num_threads()
        at_once = min(cores, MAX_CORES)
        of_recording = max(1, min(cores // limits.decoders, MAX_CORES))
        self.recordings = WorkerPool("recordings", limits.decoders, limits.waiting, of_recording)
        self.utterances = WorkerPool("utterances", max(2, cores // at_once), limits.connections, at_once)
        self.network = ThreadPoolExecutor(1, "network", initializer=use_cores, initargs=(at_once,))

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
        return await self._workers.recordings.run(self.predictor.listen, audio, turns)

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
        self.tally.add_call(answer, answer.duration_ms)
        return answer

    async def probe(self) -> None:
        """Has the network score an empty text, behind the requests that wait.

        It hears nothing: long recordings may keep every thread busy although the server works as it should.

        Raises:
            ArtefactError: a score is not finite.
        """
        check_finite(await self.logits([""], blank_vectors(self.predictor)))
