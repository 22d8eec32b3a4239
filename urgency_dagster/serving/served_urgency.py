"""One loaded urgency model that answers many requests at a time."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from urgency_dagster.urgency import Predictor, RecordingPrediction, TaskLogits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from urgency_dagster.calls import Audio
    from urgency_dagster.listening import HeardCall, Turn


class ServedUrgency:
    """An urgency model with its workers.

    Attributes:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    async def listen(self, audio: "Audio", turns: "Sequence[Turn] | None" = None) -> "HeardCall":
        """The turns of a recording with their vectors. Arguments and errors: see `urgency.Predictor.predict`."""
        return await asyncio.to_thread(self.predictor.listen, audio, turns)

    async def logits(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> TaskLogits:
        """The logits of N utterances. Arguments and errors: see `urgency.Predictor.predict_utterances`."""
        return await asyncio.to_thread(self.predictor.logits, texts, vectors)

    async def predict(self, audio: "Audio", turns: "Sequence[Turn] | None" = None) -> RecordingPrediction:
        """Urgency and sentiment of a recording. Arguments and errors: see `urgency.Predictor.predict`."""
        heard = await self.listen(audio, turns)
        return self.predictor.answer(heard, await self.logits([turn.text or "" for turn in heard.turns], heard.vectors))
