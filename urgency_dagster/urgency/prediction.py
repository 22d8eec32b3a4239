"""What a model answers: class probabilities of utterances and calls, and the provenance of the model."""

from collections.abc import Hashable
from dataclasses import dataclass

from urgency_dagster.listening import Listening, Turn

PREDICTED_IN = "float32"
"""The precision in which a predictor computes the vectors of recordings, whatever the training used."""


@dataclass(frozen=True)
class ClassProbabilities:
    """The predicted class of one task, and the calibrated probability of each class by its name."""

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class UtterancePrediction:
    """Urgency and sentiment of one utterance; a task that the training left out is None."""

    urgency: ClassProbabilities | None
    sentiment: ClassProbabilities | None


@dataclass(frozen=True)
class CallPrediction:
    """Urgency and sentiment of one call, from the mean logits of its utterances.

    Attributes:
        call: the call, as given to `Predictor.predict_utterances`.
        urgency: predicted urgency; None if the training left it out.
        sentiment: predicted sentiment; None if the training left it out.
        abstain: True if the confidence of the urgency is below the confidence threshold, so a person should decide.
            None if the model has no such threshold.
        alarm: True if the probability of 상 is at or above the alarm threshold; None without such a threshold.
    """

    call: Hashable
    urgency: ClassProbabilities | None
    sentiment: ClassProbabilities | None
    abstain: bool | None
    alarm: bool | None


@dataclass(frozen=True)
class Provenance:
    """What a model is and what it was trained on. A value is empty if the model's file does not say it.

    Attributes:
        weights_sha256: SHA-256 of the file of the weights.
        speech_model: `name`, `revision` and `weights_sha256` of the speech model that made the training vectors.
        audio_width: width D of a vector.
        audio_tokens: vectors T of an utterance.
        data_sha256: SHA-256 of the training set.
        versions: library versions of the training.
        vector_precisions: precisions of the training vectors that are known, sorted. The predictor computes those of
            recordings in PREDICTED_IN.
    """

    weights_sha256: str
    speech_model: dict[str, str]
    audio_width: int
    audio_tokens: int
    data_sha256: str
    versions: dict[str, str]
    vector_precisions: tuple[str, ...] = ()

    @property
    def reduced_precisions(self) -> tuple[str, ...]:
        """The precisions of the training vectors that recordings do not have, because theirs is PREDICTED_IN."""
        return tuple(precision for precision in self.vector_precisions if precision != PREDICTED_IN)


@dataclass(frozen=True)
class Prediction:
    """The answer to one `Predictor.predict_utterances`.

    Attributes:
        utterances: one prediction per text, in their order.
        calls: one prediction per call, in the order of their first utterances; empty if no calls were given.
        provenance: the model that answered.
    """

    utterances: tuple[UtterancePrediction, ...]
    calls: tuple[CallPrediction, ...]
    provenance: Provenance


@dataclass(frozen=True)
class TurnPrediction:
    """Urgency and sentiment of one turn of a recording, with calibrated probabilities of utterances.

    Attributes:
        turn: its times, text and speaker.
        urgency: predicted urgency; None if the training left it out.
        sentiment: predicted sentiment; None if the training left it out.
    """

    turn: Turn
    urgency: ClassProbabilities | None
    sentiment: ClassProbabilities | None


@dataclass(frozen=True)
class RecordingPrediction:
    """The answer to one `Predictor.predict`: urgency and sentiment of a recording and of its turns.

    The probabilities of the recording are those of calls. A threshold holds for the way of listening that it was fitted
    for; without one for this way, `abstain` and `alarm` are None.

    Attributes:
        urgency: predicted urgency; None if the training left it out.
        sentiment: predicted sentiment; None if the training left it out.
        abstain: True if the confidence of the urgency is below the confidence threshold, so a person should decide.
        alarm: True if the probability of 상 is at or above the alarm threshold.
        listening: where the text of the turns comes from.
        duration_ms: length of the recording in milliseconds.
        utterances: the turns with their predictions, in the order of time.
        rejected: turns without a prediction, each with the reason.
        provenance: the model that answered.
    """

    urgency: ClassProbabilities | None
    sentiment: ClassProbabilities | None
    abstain: bool | None
    alarm: bool | None
    listening: Listening
    duration_ms: int
    utterances: tuple[TurnPrediction, ...]
    rejected: tuple[tuple[Turn, str], ...]
    provenance: Provenance


@dataclass(frozen=True)
class RejectedRecording:
    """A recording without an answer in `Predictor.predict_many`.

    Attributes:
        reason: why, in one sentence, without text of the recording.
    """

    reason: str
