"""Asking a trained model: class probabilities of utterances and calls, abstention and alarm.

Only the core libraries are needed. Vectors come from the speech model that `Provenance` names.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.devices import AUTO, resolve_device
from urgency_dagster.errors import InputError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.tables import HIGH
from urgency_dagster.urgency.data.batches import Inputs, tokenise
from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call, predict_logits
from urgency_dagster.urgency.package.model_folder import WEIGHTS, UrgencyModel, load_urgency_model, read_card
from urgency_dagster.urgency.package.original import checkpoint_model, read_original
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD
from urgency_dagster.urgency.prediction import (
    CallPrediction,
    ClassProbabilities,
    Prediction,
    Provenance,
    UtterancePrediction,
)
from urgency_dagster.writing import file_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from urgency_dagster.urgency.data.batches import Tokens

BATCH_SIZE = 64
"""Default number of utterances per forward pass."""


@dataclass(frozen=True)
class Predictor:
    """A trained model on a device.

    Attributes:
        model: network, tokenizer, labels, temperatures and thresholds.
        provenance: what the model is.
        device: a torch device.
        batch_size: utterances per forward pass.
    """

    model: UrgencyModel
    provenance: Provenance
    device: str = "cpu"
    batch_size: int = field(default=BATCH_SIZE, kw_only=True)

    def predict(
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
        if calls is not None and len(calls) != len(texts):
            raise InputError(f"{len(texts)} texts and {len(calls)} calls", "one call per text", "pass as many of both")
        logits = self.logits(texts, vectors)
        utterances = tuple(
            UtterancePrediction(urgency, sentiment)
            for urgency, sentiment in self._class_probabilities(logits, "utterance")
        )
        return Prediction(utterances, self._calls(logits, calls or ()), self.provenance)

    def logits(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> TaskLogits:
        """The logits of N utterances, before temperatures. Arguments and errors are those of `predict`."""
        inputs = _Utterances(*self._checked(texts, vectors))
        return predict_logits(self.model.network, inputs, batch_size=self.batch_size, device=self.device)

    def _checked(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> "tuple[Tokens, NDArray[np.float32]]":
        import pyarrow as pa

        _check_texts(texts)
        _check_vectors(vectors, len(texts), self.model.config.audio_tokens, self.model.config.audio_width)
        column = pa.chunked_array([pa.array(list(texts), pa.string())])
        tokens = tokenise(column, self.model.tokenizer, self.model.max_length)
        return tokens, vectors.reshape(len(texts), -1, self.model.config.audio_width)

    def _calls(self, logits: TaskLogits, calls: Sequence[Hashable]) -> tuple[CallPrediction, ...]:
        if not calls:
            return ()
        codes: dict[Hashable, int] = {}
        ids = np.array([codes.setdefault(call, len(codes)) for call in calls])
        answers = self._class_probabilities(mean_by_call(logits, ids), "call")
        return tuple(
            CallPrediction(call, urgency, sentiment, self._abstains(urgency), self._alarms(urgency))
            for call, (urgency, sentiment) in zip(codes, answers, strict=True)
        )

    def _abstains(self, urgency: ClassProbabilities | None) -> bool | None:
        threshold = self.model.thresholds.get(CONFIDENCE_THRESHOLD)
        return None if threshold is None or urgency is None else urgency.probabilities[urgency.label] < threshold

    def _alarms(self, urgency: ClassProbabilities | None) -> bool | None:
        threshold = self.model.thresholds.get(ALARM_THRESHOLD)
        return None if threshold is None or urgency is None else urgency.probabilities[HIGH] >= threshold

    def _class_probabilities(
        self, logits: TaskLogits, level: str
    ) -> list[tuple[ClassProbabilities | None, ClassProbabilities | None]]:
        labels, temperatures = self.model.labels, self.model.temperatures[level]
        answers: dict[str, Sequence[ClassProbabilities | None]] = dict.fromkeys(TASKS, [None] * len(logits.urgency))
        for task in labels.tasks:
            answers[task] = _named(probabilities(getattr(logits, task), temperatures[task]), getattr(labels, task))
        return list(zip(answers["urgency"], answers["sentiment"], strict=True))


def load_model(folder: str | Path, device: str = AUTO) -> Predictor:
    """The predictor of a model folder.

    Args:
        folder: the model folder that `train` wrote, `<storage>/urgency/model`.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.

    Raises:
        ArtefactError: a file is missing or damaged, or the weights do not fit the configuration.
        SettingsError: this machine has no such device.
    """
    place = resolve_device(device)
    model, card = load_urgency_model(Path(folder)), read_card(Path(folder))
    return _predictor(model, card, Path(folder) / WEIGHTS, place)


def load_original_checkpoint(source: str | Path, text_model: PretrainedModel, device: str = AUTO) -> Predictor:
    """The predictor of a `best_model.pt`, made by the original pipeline or by this one.

    It has no temperatures and no thresholds: probabilities are not calibrated, and calls neither abstain nor alarm.

    Args:
        source: the checkpoint.
        text_model: the pretrained text encoder that it was trained from.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.

    Raises:
        ArtefactError: the checkpoint is missing or damaged, holds more than tensors and plain values, does not name
            classes other than the original's, or does not fit the text model.
        ModelError: the text model cannot be loaded.
        SettingsError: this machine has no such device.
    """
    place = resolve_device(device)
    checkpoint = read_original(Path(source))
    return _predictor(checkpoint_model(checkpoint, text_model), checkpoint, Path(source), place)


def _predictor(model: UrgencyModel, facts: dict[str, Any], weights: Path, device: str) -> Predictor:
    provenance = Provenance(
        weights_sha256=file_hash(weights),
        speech_model=dict(facts.get("speech_model", {})),
        audio_width=model.config.audio_width,
        audio_tokens=model.config.audio_tokens,
        data_sha256=facts.get("data_sha256", ""),
        versions=dict(facts.get("versions", {})),
    )
    model.network.to(device)
    return Predictor(model, provenance, device)


@dataclass(frozen=True)
class _Utterances:
    """Utterances in memory: tokens of N texts, and float32 vectors, (N, T, D)."""

    tokens: "Tokens"
    vectors: "NDArray[np.float32]"

    def __len__(self) -> int:
        return len(self.vectors)

    def inputs(self, indices: "NDArray[np.int64]") -> Inputs:
        return Inputs.of(self.tokens, indices, self.vectors[indices])


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not len(texts):
        raise InputError("no list of texts" if len(texts) else "no utterance", "at least one text", "pass a list")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {position} is a {type(text).__name__}", "a string", "pass the transcript")


def _check_vectors(vectors: "NDArray[np.float32]", count: int, tokens: int, width: int) -> None:
    shapes = [(count, tokens, width), *([(count, width)] if tokens == 1 else [])]
    expected = f"float32 of shape {shapes[-1]}"
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        kind = vectors.dtype if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise InputError(f"vectors of type {kind}", expected, "convert them with `numpy.asarray(vectors, 'float32')`")
    if vectors.shape not in shapes:
        raise InputError(f"vectors of shape {vectors.shape}", expected, "make them with the model's speech model")
    if not np.isfinite(vectors).all():
        raise InputError("vectors with NaN or infinite values", "finite numbers", "embed these utterances again")


def _named(of_rows: "NDArray[np.float64]", names: tuple[str, ...]) -> list[ClassProbabilities]:
    return [
        ClassProbabilities(names[int(row.argmax())], dict(zip(names, row.tolist(), strict=True))) for row in of_rows
    ]
