"""What monitoring compares of one call. It is taken when the call is scored, because audio and vectors are at hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.calls import RecordingQuality
from urgency_dagster.errors import AudioError
from urgency_dagster.urgency import COMPARED_FLAGS, call_vector

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from urgency_dagster.listening import HeardCall, Turn
    from urgency_dagster.urgency import Predictor

MAX_ANALYSED_MS = 600_000
"""Longer recordings are not analysed for flags, to bound the memory. The longest call of the data set has 180 s."""


@dataclass(frozen=True)
class CallMeasures:
    """What monitoring compares of one call.

    Attributes:
        vector: mean of the audio vectors of the utterances, weighted by duration, float32, (T * D,).
        unknown_tokens: whether the text model does not know a token of the text; None if an utterance has no text.
        flags: whether an utterance has each of COMPARED_FLAGS; None for a recording that is not analysed.
    """

    vector: "NDArray[np.float32]" = field(repr=False)
    unknown_tokens: bool | None
    flags: dict[str, bool | None]

    @classmethod
    def of(cls, predictor: "Predictor", audio: "Path | bytes", heard: "HeardCall") -> "CallMeasures":
        """The measures of a call that was heard.

        Args:
            predictor: the model, for its text model.
            audio: the path of the recording, or its bytes.
            heard: at least one turn with its vectors.
        """
        texts = [turn.text for turn in heard.turns if turn.text is not None]
        durations = [min(turn.end_ms, heard.duration_ms) - turn.start_ms for turn in heard.turns]
        return cls(
            vector=call_vector(heard.vectors, np.array(durations, np.float64)),
            unknown_tokens=predictor.has_unknown_token(texts) if len(texts) == len(heard.turns) else None,
            flags=_flags(audio, heard.turns, heard.duration_ms),
        )


def _flags(audio: "Path | bytes", turns: "Sequence[Turn]", duration_ms: int) -> dict[str, bool | None]:
    if duration_ms > MAX_ANALYSED_MS:
        return dict.fromkeys(COMPARED_FLAGS)
    try:
        quality = RecordingQuality.read(audio)
    except AudioError:  # the file was heard and has changed since
        return dict.fromkeys(COMPARED_FLAGS)
    of_turns = [quality.flags(turn.start_ms, turn.end_ms) for turn in turns]
    return {name: any(flags[name] for flags in of_turns) for name in COMPARED_FLAGS}
