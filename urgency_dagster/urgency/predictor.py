"""Asking a trained model: class probabilities of recordings, calls and utterances, abstention and alarm.

Recordings need the extra `predict`. Texts with vectors of the speech model need the core alone.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from urgency_dagster.calls import Audio
from urgency_dagster.errors import (
    ModelError,
    NoRecogniserError,
    NoSpeechError,
    UrgencyError,
)
from urgency_dagster.extras import require_extra
from urgency_dagster.listening import HeardCall, Listener, Listening, Recogniser, Turn, load_listener
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.tables import HIGH
from urgency_dagster.urgency.data.batches import Inputs, tokenise
from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.data.unknown_tokens import any_unknown
from urgency_dagster.urgency.inputs import Turns, blocks_of, check_calls, check_texts, check_vectors, checked_turns
from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call, predict_logits
from urgency_dagster.urgency.package.engines import TORCH
from urgency_dagster.urgency.package.label_free_gap import LabelFreeGap
from urgency_dagster.urgency.package.model_folder import UrgencyModel
from urgency_dagster.urgency.package.speech_model import find_speech_model
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD
from urgency_dagster.urgency.prediction import (
    CallPrediction,
    ClassProbabilities,
    Prediction,
    Provenance,
    RecordingPrediction,
    RejectedRecording,
    TurnPrediction,
    UtterancePrediction,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from urgency_dagster.urgency.data.batches import Tokens

BATCH_SIZE = 64
"""Default number of utterances per forward pass."""

LABEL: Listening = "label"
"""The way of listening of the training: texts of the labels."""


@dataclass(frozen=True)
class Predictor:
    """A trained model on a device.

    Attributes:
        model: network, tokenizer, labels, temperatures and thresholds.
        provenance: what the model is.
        folder: the folder with the file of the model.
        device: a torch device.
        batch_size: utterances per forward pass.
        speech_model: where the speech model is looked for: a hub id, `id@revision`, or the absolute path of a folder;
            None if only the name of a local folder is known.
        speech_engine: `torch` in float32, or `auto` for the fastest library and precision of this machine, whose
            vectors differ: see `precision` of `listening.load_listener`.
        recogniser: the recogniser of turns without text, see `listening.load_listener`.
        label_free_gap: what was measured of the model with this recogniser and without labels; None if nothing was.
    """

    model: UrgencyModel
    provenance: Provenance
    folder: Path
    device: str = "cpu"
    batch_size: int = field(default=BATCH_SIZE, kw_only=True)
    speech_model: str | None = field(default=None, kw_only=True)
    speech_engine: Literal["torch", "auto"] = field(default="torch", kw_only=True)
    recogniser: str | Recogniser = field(default="none", kw_only=True)
    label_free_gap: LabelFreeGap | None = field(default=None, kw_only=True)

    @cached_property
    def listener(self) -> Listener:
        """The speech model, loaded once, and what it needs to hear turns and text.

        Raises:
            MissingExtraError: the extra `predict` is not installed.
            ModelError: the speech model cannot be found or loaded, or it is another one than that of the training.
            SettingsError: the card names a local folder as speech model, and neither the settings nor the caller name
                one.
        """
        require_extra("predict")
        source = find_speech_model(self.speech_model, self.provenance.speech_model)
        listener = load_listener(
            source,
            audio_tokens=self.provenance.audio_tokens,
            device=self.device,
            engine=self.speech_engine,
            precision="float32" if self.speech_engine == TORCH else "auto",
            recogniser=self.recogniser,
            speaker_model=self.model.speaker,
        )
        _check_width(listener, self.provenance)
        return listener

    def predict(self, audio: "Audio", turns: Turns | None = None) -> RecordingPrediction:
        """Urgency and sentiment of a recording and of its turns.

        The first call loads the speech model.

        Args:
            audio: the path of a recording, its content, or (waveform, sample_rate), with samples of shape (samples,) or
                (samples, channels).
            turns: each a `Turn`, or (start_ms, end_ms, text), or (start_ms, end_ms, text, speaker); None to find them.

        Raises:
            AudioError: the recording cannot be read; NoSpeechError if it has no turn that can be used.
            RecognitionError: the recogniser gives no text.
            InputError: the audio or a turn is of another type.
            NoRecogniserError: a turn has no text, and the recogniser cannot be loaded.
            DeviceMemoryError: the device has no memory for one turn.
            MissingExtraError, ModelError, SettingsError: see `listener`.
        """
        return self.predict_heard(self.listen(audio, turns))

    def listen(self, audio: "Audio", turns: Turns | None = None) -> HeardCall:
        """The turns of a recording with their vectors, for `predict_heard`. Arguments and errors: see `predict`."""
        return self.listener.listen(blocks_of(audio), checked_turns(turns))

    def predict_many(
        self, recordings: "Iterable[tuple[Audio, Turns | None]]"
    ) -> Iterator[RecordingPrediction | RejectedRecording]:
        """Yields the answer for each recording, in order; only one recording is in memory at a time.

        A recording without an answer costs only itself. Errors of the speech model are raised before the first answer,
        those of the recogniser at the first recording that needs it.

        Args:
            recordings: the arguments of `predict` for each.

        Raises:
            MissingExtraError, ModelError, SettingsError: see `listener`.
            NoRecogniserError: see `predict`.
        """
        self.listener  # noqa: B018 - an unusable speech model is no fault of a recording
        for audio, turns in recordings:
            yield self._answer_or_reason(audio, turns)

    def _answer_or_reason(self, audio: "Audio", turns: Turns | None) -> RecordingPrediction | RejectedRecording:
        try:
            return self.predict(audio, turns)
        except NoRecogniserError:  # no recording is at fault
            raise
        except UrgencyError as error:
            return RejectedRecording(str(error))  # the error itself would keep the recording in memory

    def predict_heard(self, heard: HeardCall) -> RecordingPrediction:
        """Urgency and sentiment of a recording whose turns have vectors. A turn without text counts as empty text.

        Raises:
            NoSpeechError: there are no turns.
            InputError: the vectors are not those of the model's speech model.
        """
        if not heard.turns:
            raise _nothing_heard(heard)
        return self.answer(heard, self.logits([turn.text or "" for turn in heard.turns], heard.vectors))

    def answer(self, heard: HeardCall, logits: TaskLogits) -> RecordingPrediction:
        """Urgency and sentiment of a recording, from the logits of its turns.

        Args:
            heard: the recording with N turns, at least one.
            logits: what `logits` gave for the N turns, in their order.
        """
        call = self.answer_call(mean_by_call(logits, np.zeros(len(heard.turns), np.int64)), heard.listening)
        return RecordingPrediction(
            urgency=call.urgency,
            sentiment=call.sentiment,
            abstain=call.abstain,
            alarm=call.alarm,
            listening=heard.listening,
            duration_ms=heard.duration_ms,
            utterances=self.answer_turns(heard.turns, logits),
            rejected=heard.rejected,
            provenance=self.provenance,
        )

    def answer_turns(self, turns: Sequence[Turn], logits: TaskLogits) -> tuple[TurnPrediction, ...]:
        """Urgency and sentiment of N turns, from what `logits` gave for them."""
        answers = self._class_probabilities(logits, "utterance")
        return tuple(TurnPrediction(turn, *answer) for turn, answer in zip(turns, answers, strict=True))

    def answer_call(self, mean: TaskLogits, listening: Listening) -> CallPrediction:
        """Urgency and sentiment of a call whose turns need not be in memory any more.

        Args:
            mean: the mean logits of its turns, as one row.
            listening: where their text comes from. It chooses the thresholds.
        """
        (call,) = self._calls(mean, [0], listening)
        return call

    def predict_utterances(
        self, texts: Sequence[str], vectors: "NDArray[np.float32]", calls: Sequence[Hashable] | None = None
    ) -> Prediction:
        """Urgency and sentiment of N utterances and of their calls.

        Args:
            texts: the transcript of each utterance.
            vectors: audio vectors, float32, (N, D), or (N, T, D) with T vectors per utterance.
            calls: the call of each utterance, such as its id; None for no predictions by call.

        Raises:
            InputError: there is no utterance, lengths differ, a text is no string, or vectors have another dtype,
                another shape than the model's, or a value that is not finite.
        """
        check_calls(calls, len(texts))
        return self.answer_utterances(self.logits(texts, vectors), calls)

    def answer_utterances(self, logits: TaskLogits, calls: Sequence[Hashable] | None = None) -> Prediction:
        """Urgency and sentiment of N utterances and of their calls, from the logits of the utterances.

        Args:
            logits: what `logits` gave for the N utterances.
            calls: see `predict_utterances`.

        Raises:
            InputError: there are not N calls.
        """
        check_calls(calls, len(logits.urgency))
        utterances = tuple(
            UtterancePrediction(urgency, sentiment)
            for urgency, sentiment in self._class_probabilities(logits, "utterance")
        )
        return Prediction(utterances, self._by_call(logits, calls), self.provenance)

    def logits(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> TaskLogits:
        """The logits of N utterances, before temperatures. Arguments and errors: see `predict_utterances`."""
        self.check(texts, vectors)
        of_tokens = vectors.reshape(len(texts), -1, self.model.config.audio_width)
        inputs = _Utterances(self._tokens(texts), of_tokens)
        return predict_logits(self.model.network, inputs, batch_size=self.batch_size, device=self.device)

    def check(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> None:
        """Checks the arguments of `logits`. Arguments and errors: see `predict_utterances`."""
        check_texts(texts)
        check_vectors(vectors, len(texts), self.model.config.audio_tokens, self.model.config.audio_width)

    def has_unknown_token(self, texts: Sequence[str]) -> bool:
        """Whether the text model does not know a token of some texts."""
        return bool(any_unknown(texts, self.model.tokenizer, self.model.max_length).any())

    def _tokens(self, texts: Sequence[str]) -> "Tokens":
        import pyarrow as pa

        column = pa.chunked_array([pa.array(list(texts), pa.string())])
        return tokenise(column, self.model.tokenizer, self.model.max_length)

    def _by_call(self, logits: TaskLogits, calls: Sequence[Hashable] | None) -> tuple[CallPrediction, ...]:
        if not calls:
            return ()
        codes: dict[Hashable, int] = {}
        ids = np.array([codes.setdefault(call, len(codes)) for call in calls])
        return self._calls(mean_by_call(logits, ids), codes, LABEL)

    def _calls(self, means: TaskLogits, calls: Iterable[Hashable], listening: Listening) -> tuple[CallPrediction, ...]:
        """The answers for some calls, from a row of mean logits for each."""
        answers, thresholds = self._class_probabilities(means, "call"), self._thresholds(listening)
        return tuple(
            CallPrediction(call, urgency, sentiment, _abstains(urgency, thresholds), _alarms(urgency, thresholds))
            for call, (urgency, sentiment) in zip(calls, answers, strict=True)
        )

    def _thresholds(self, listening: Listening) -> Mapping[str, float]:
        """The thresholds for a way of listening. A threshold holds for the texts that it was fitted on."""
        if listening == LABEL:
            return self.model.thresholds
        gap = self.label_free_gap
        return gap.thresholds if gap and gap.listening == listening else {}

    def _class_probabilities(
        self, logits: TaskLogits, level: str
    ) -> list[tuple[ClassProbabilities | None, ClassProbabilities | None]]:
        labels, temperatures = self.model.labels, self.model.temperatures[level]
        answers: dict[str, Sequence[ClassProbabilities | None]] = dict.fromkeys(TASKS, [None] * len(logits.urgency))
        for task in labels.tasks:
            answers[task] = _named(probabilities(getattr(logits, task), temperatures[task]), getattr(labels, task))
        return list(zip(answers["urgency"], answers["sentiment"], strict=True))


def _check_width(listener: Listener, expected: Provenance) -> None:
    """Checks the vectors of a speech model. The card of an old checkpoint has no hash of its weights.

    Raises:
        ModelError: they have another width than in the training.
    """
    speech = listener.encoder.speech
    if speech.width != expected.audio_width:
        raise ModelError(
            f"the speech model {speech.source.name} makes vectors of {speech.width} values",
            f"{expected.audio_width} values, as in the training",
            "name the speech model of the training",
        )


@dataclass(frozen=True)
class _Utterances:
    """Utterances in memory: tokens of N texts, and float32 vectors, (N, T, D)."""

    tokens: "Tokens"
    vectors: "NDArray[np.float32]"

    def __len__(self) -> int:
        return len(self.vectors)

    def inputs(self, indices: "NDArray[np.int64]") -> Inputs:
        return Inputs.of(self.tokens, indices, self.vectors[indices])


def _named(of_rows: "NDArray[np.float64]", names: tuple[str, ...]) -> list[ClassProbabilities]:
    return [
        ClassProbabilities(names[int(row.argmax())], dict(zip(names, row.tolist(), strict=True))) for row in of_rows
    ]


def _abstains(urgency: ClassProbabilities | None, thresholds: Mapping[str, float]) -> bool | None:
    threshold = thresholds.get(CONFIDENCE_THRESHOLD)
    return None if threshold is None or urgency is None else urgency.probabilities[urgency.label] < threshold


def _alarms(urgency: ClassProbabilities | None, thresholds: Mapping[str, float]) -> bool | None:
    threshold = thresholds.get(ALARM_THRESHOLD)
    return None if threshold is None or urgency is None else urgency.probabilities[HIGH] >= threshold


def _nothing_heard(heard: HeardCall) -> NoSpeechError:
    if not heard.rejected:
        return NoSpeechError("no speech was found", "a recording with speech", "give its turns if there is speech")
    reasons = "; ".join(sorted({reason for _, reason in heard.rejected}))
    return NoSpeechError(
        f"none of the {len(heard.rejected)} turns can be used ({reasons})",
        "turns of the recording",
        "correct the times",
    )
