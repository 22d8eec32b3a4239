"""The recordings of some sources, asked one after another: an answer or a rejection for each."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from urgency_dagster.errors import (
    AudioError,
    DeviceMemoryError,
    InputError,
    NoSpeechError,
    RecognitionError,
    UrgencyError,
)
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.scoring.monitoring.measures import CallMeasures
from urgency_dagster.scoring.rejects import Rejection, RejectReason

if TYPE_CHECKING:
    from urgency_dagster.listening import Turn
    from urgency_dagster.scoring.recordings.reading import FoundRecordings, Recording
    from urgency_dagster.urgency import Predictor, RecordingPrediction

REASONS: dict[type[UrgencyError], RejectReason] = {
    NoSpeechError: RejectReason.NO_SPEECH,
    AudioError: RejectReason.UNREADABLE_AUDIO,
    RecognitionError: RejectReason.NOT_RECOGNISED,
    DeviceMemoryError: RejectReason.OUT_OF_MEMORY,
    InputError: RejectReason.UNUSABLE_VECTORS,
}
"""The errors that cost one recording its answer. A subclass comes before its class. Every other error ends the run."""


@dataclass(frozen=True)
class PredictedRecording:
    """A recording with its answer.

    Attributes:
        file: its name, see `Recording.file`.
        id: the id in its name.
        prediction: urgency and sentiment of the recording and its turns.
        rejected: why its label, or utterances of it, are not used.
        utterance_ids: the ids in the label, in the order of the turns of the prediction; empty without a label.
        measures: what monitoring compares; None if it was not asked for.
    """

    file: str
    id: str
    prediction: "RecordingPrediction" = field(repr=False)
    rejected: tuple[Rejection, ...] = ()
    utterance_ids: tuple[str, ...] = ()
    measures: CallMeasures | None = field(default=None, repr=False, compare=False)


def predict_recordings(
    predictor: "Predictor", found: "FoundRecordings", progress: Progress = no_progress, *, measured: bool = False
) -> Iterator[PredictedRecording | Rejection]:
    """Every file that is no recording, then an answer or a rejection for each recording.

    The speech model is loaded at once, and the recogniser too if a recording has no usable label. The recordings are
    read one by one with the result.

    Args:
        predictor: the model.
        found: the recordings.
        progress: receives the number of finished recordings.
        measured: whether to take what monitoring compares. It decodes each recording a second time.

    Raises:
        MissingExtraError, ModelError, SettingsError: see `Predictor.listener`.
        NoRecogniserError: a recording has no usable label, and the recogniser cannot be loaded.
    """
    # An unusable model is no fault of a recording: it is said before the first answer.
    if len(found):
        predictor.listener  # noqa: B018
    if found.need_recogniser():
        predictor.listener.load_recogniser()
    return _answers(predictor, found, progress, measured)


def _answers(
    predictor: "Predictor", found: "FoundRecordings", progress: Progress, measured: bool
) -> Iterator[PredictedRecording | Rejection]:
    yield from found.rejected
    for done, recording in enumerate(found.read(), start=1):
        yield recording if isinstance(recording, Rejection) else _answer(predictor, recording, measured)
        progress(done, len(found))


def _answer(predictor: "Predictor", recording: "Recording", measured: bool) -> PredictedRecording | Rejection:
    try:
        heard = predictor.listen(recording.audio, recording.turns)
        prediction = predictor.predict_heard(heard)
    except tuple(REASONS) as error:
        return Rejection(recording.file, reason_of(error), str(error), recording.id)
    # A heard turn has the times of the label's turn; its text or speaker can be new. Two turns can have equal times.
    ids: dict[tuple[int, int], list[str]] = defaultdict(list)
    for turn, utterance_id in zip(recording.turns or (), recording.utterance_ids, strict=True):
        ids[_times(turn)].append(utterance_id)
    kept = tuple(ids[_times(utterance.turn)].pop(0) for utterance in prediction.utterances if recording.turns)
    refused = tuple(_refused_turn(recording, turn, reason, ids[_times(turn)]) for turn, reason in prediction.rejected)
    measures = CallMeasures.of(predictor, recording.audio, heard) if measured else None
    return PredictedRecording(recording.file, recording.id, prediction, recording.rejected + refused, kept, measures)


def _times(turn: "Turn") -> tuple[int, int]:
    return turn.start_ms, turn.end_ms


def reason_of(error: UrgencyError) -> RejectReason:
    """The reason for a recording without an answer. The error is one of REASONS."""
    return next(reason for kind, reason in REASONS.items() if isinstance(error, kind))


def _refused_turn(recording: "Recording", turn: "Turn", reason: str, ids: list[str]) -> Rejection:
    interval = f"{turn.start_ms} to {turn.end_ms} ms"
    return Rejection(recording.file, RejectReason(reason), interval, recording.id, ids.pop(0) if ids else interval)
