"""One held-out call, heard in three ways: what the model answers to each, and how well the call was heard."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.calls import waveform_blocks
from urgency_dagster.errors import AudioError
from urgency_dagster.scoring.gap.characters import CharacterErrors, character_errors
from urgency_dagster.scoring.gap.coverage import Coverage, best_utterances, coverage
from urgency_dagster.scoring.gap.labelled_calls import LabelledCall
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.urgency import FOUND_WAY, LABEL_WAY, Predictor, TaskLogits, mean_by_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from urgency_dagster.listening import HeardCall, Turn

TURNS_WAY = "label_turns"
"""The name of label turns with recognised text in `metrics.json`."""

WAYS = (LABEL_WAY, TURNS_WAY, FOUND_WAY)


@dataclass(frozen=True)
class ComparedCall:
    """A call of the validation side after it was heard in every way.

    Attributes:
        call: the class ids of its label by task.
        logits: by way, the logits of its N utterances or found turns; N can be 0 for found turns.
        labelled: by way, which of them have a label, bool, (N,).
        characters: by way with recognised text, the errors of its characters.
        coverage: how the found turns cover its label.
        difference: largest difference of a probability between label turns with label text and the evaluation.
    """

    call: Mapping[str, int]
    logits: Mapping[str, TaskLogits]
    labelled: "Mapping[str, NDArray[np.bool_]]"
    characters: Mapping[str, CharacterErrors]
    coverage: Coverage
    difference: float


def compared_call(predictor: Predictor, call: LabelledCall) -> ComparedCall:
    """A call of the validation side, heard in every way.

    Label turns are heard once: their vectors are the same with the text of the label and with recognised text.
    A found turn has the label of the utterance that it overlaps most. All utterances of a call have the labels of the
    call, so only a turn without any overlap has none.

    Args:
        predictor: the model. Without a recogniser, recognised text is empty.
        call: the call, with its stored logits.

    Raises:
        AudioError: the recording cannot be read, or is shorter than that of the training set.
        RecognitionError: the recogniser gives no text of this call.
    """
    heard, found = _at_label_turns(predictor, call), heard_alone(predictor, call)
    with_text = replace(heard, turns=call.utterances)
    logits = {way: call_logits(predictor, one) for way, one in zip(WAYS, (with_text, heard, found), strict=True)}
    count = len(call.utterances)
    return ComparedCall(
        {"urgency": call.urgency, "sentiment": call.sentiment},
        logits,
        {
            **dict.fromkeys((LABEL_WAY, TURNS_WAY), np.ones(count, bool)),
            FOUND_WAY: best_utterances(found.turns, call.utterances) >= 0,
        },
        {TURNS_WAY: _by_turn(call.utterances, heard.turns), FOUND_WAY: _whole(call.utterances, found.turns)},
        coverage(found.turns, call.utterances, heard.duration_ms),
        _difference(predictor, logits[LABEL_WAY], call),
    )


def heard_alone(predictor: Predictor, call: LabelledCall) -> "HeardCall":
    """A call as if it had no label: its turns are found, and their text is recognised.

    Raises:
        AudioError: the recording cannot be read.
        RecognitionError: the recogniser gives no text of this call.
    """
    return predictor.listener.listen(waveform_blocks(call.recording))


def _at_label_turns(predictor: Predictor, call: LabelledCall) -> "HeardCall":
    turns = [replace(turn, text=None) for turn in call.utterances]
    heard = predictor.listener.listen(waveform_blocks(call.recording), turns)
    if heard.rejected:
        received = f"a recording of {heard.duration_ms} ms, in which {len(heard.rejected)} utterances cannot be used"
        raise AudioError(received, "the recording of the training set", "materialize call_recordings again")
    return heard


def call_logits(predictor: Predictor, heard: "HeardCall") -> TaskLogits:
    """The logits of the turns of a heard call; a turn without text counts as empty text."""
    if heard.turns:
        return predictor.logits([turn.text or "" for turn in heard.turns], heard.vectors)
    labels = predictor.model.labels
    return TaskLogits(*(np.empty((0, len(names)), np.float32) for names in (labels.urgency, labels.sentiment)))


def of_whole_call(logits: TaskLogits) -> TaskLogits:
    """The mean logits of the turns of one call, each (1, K); (0, K) without any turn."""
    count = len(logits.urgency)
    return mean_by_call(logits, np.zeros(count, np.int64)) if count else logits


def _by_turn(wanted: "Sequence[Turn]", heard: "Sequence[Turn]") -> CharacterErrors:
    errors = [character_errors(one.text or "", other.text or "") for one, other in zip(wanted, heard, strict=True)]
    return CharacterErrors(*(sum(counts) for counts in zip(*errors, strict=True)))


def _whole(wanted: "Sequence[Turn]", found: "Sequence[Turn]") -> CharacterErrors:
    return character_errors(*("".join(turn.text or "" for turn in turns) for turns in (wanted, found)))


def _difference(predictor: Predictor, logits: TaskLogits, call: LabelledCall) -> float:
    temperatures = predictor.model.temperatures["utterance"]
    differences = []
    for task in predictor.model.labels.tasks:
        stored = np.array(call.stored[task], np.float32)
        ours, theirs = (probabilities(some, temperatures[task]) for some in (getattr(logits, task), stored))
        differences.append(np.abs(ours - theirs).max())
    return float(max(differences))
