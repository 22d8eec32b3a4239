"""The scores of each way of hearing the validation calls, and their differences, with intervals over calls.

Every way has the same calls in the same bootstrap samples, so that differences are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.scoring.gap.listening_ways import TURNS_WAY, WAYS, ComparedCall, of_whole_call
from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import (
    Score,
    accuracy,
    confusion_matrix,
    f1_by_class,
    resampled_matrices,
    with_interval,
)
from urgency_dagster.statistics.ratios import ratio_with_interval
from urgency_dagster.urgency import FOUND_WAY, LABEL_WAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS = ("utterance", "call")


def _accuracy(matrix: "NDArray[np.int64]") -> float | None:
    return accuracy(matrix) if matrix.any() else None


def _f1_macro(matrix: "NDArray[np.int64]") -> float | None:
    """The mean F1 over all classes, without the last column: a call without an answer is never correct."""
    return float(f1_by_class(matrix)[:-1].mean()) if matrix.any() else None


SCORES: Mapping[str, Score] = {"accuracy": _accuracy, "f1_macro": _f1_macro}


@dataclass(frozen=True)
class _Classes:
    """True and predicted classes of one task, unit and way. The last class is that of no answer.

    Attributes:
        true: class ids, int64, (N,).
        predicted: class ids, int64, (N,).
        groups: the call of each, int64, (N,).
        classes: number of classes K.
        calls: number of calls.
        bootstrap: samples of the calls.
    """

    true: "NDArray[np.int64]"
    predicted: "NDArray[np.int64]"
    groups: "NDArray[np.int64]"
    classes: int
    calls: int
    bootstrap: BootstrapConfig

    @cached_property
    def matrix(self) -> "NDArray[np.int64]":
        return confusion_matrix(self.true, self.predicted, self.classes + 1)

    @cached_property
    def samples(self) -> "NDArray[np.int64]":
        pairs = self.true, self.predicted, self.groups
        return resampled_matrices(*pairs, self.classes + 1, self.bootstrap, self.calls)

    def scores(self) -> dict[str, Any]:
        """Each score with its interval, and the number of predictions as `n`."""
        result: dict[str, Any] = {"n": len(self.true)}
        for name, score in SCORES.items():
            result |= with_interval(name, score(self.matrix), [score(sample) for sample in self.samples])
        return result

    def differences(self, reference: "_Classes") -> dict[str, Any]:
        """Each score minus that of the reference, with the interval of the difference."""
        result: dict[str, Any] = {}
        for name, score in SCORES.items():
            pairs = zip(self.samples, reference.samples, strict=True)
            sampled = [_minus(score(ours), score(theirs)) for ours, theirs in pairs]
            result |= with_interval(name, _minus(score(self.matrix), score(reference.matrix)), sampled)
        return result


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def gap_scores(calls: Sequence[ComparedCall], classes: Mapping[str, int], bootstrap: BootstrapConfig) -> dict[str, Any]:
    """The scores of every way, and their differences from label turns with label text.

    Args:
        calls: the calls of the validation side, at least one.
        classes: number of classes of each task that the model was trained on.
        bootstrap: samples of the calls.

    Returns:
        `ways`: by way, unit (`utterance` or `call`) and task `accuracy` and `f1_macro` with their intervals, and `n`.
        `differences`: the same for each way minus `label`. A task that is left out is None.
    """
    found = {
        (way, unit, task): _classes(calls, way, unit, task, count, bootstrap)
        for way in WAYS
        for unit in UNITS
        for task, count in classes.items()
    }
    by_task: dict[str, Any] = dict.fromkeys(("urgency", "sentiment"))
    ways = {
        way: {unit: by_task | {task: found[way, unit, task].scores() for task in classes} for unit in UNITS}
        for way in WAYS
    }
    differences = {
        way: {
            unit: by_task | {task: found[way, unit, task].differences(found[LABEL_WAY, unit, task]) for task in classes}
            for unit in UNITS
        }
        for way in (TURNS_WAY, FOUND_WAY)
    }
    return {"ways": ways, "differences": differences}


def _classes(
    calls: Sequence[ComparedCall], way: str, unit: str, task: str, classes: int, bootstrap: BootstrapConfig
) -> _Classes:
    answers = _call_answer if unit == "call" else _turn_answers
    predicted = [answers(call, way, task) for call in calls]
    lengths = [len(of_call) for of_call in predicted]
    true = np.array([call.call[task] for call in calls], np.int64)
    return _Classes(
        np.repeat(true, lengths),
        np.concatenate(predicted),
        np.repeat(np.arange(len(calls)), lengths),
        classes,
        len(calls),
        bootstrap,
    )


def _turn_answers(call: ComparedCall, way: str, task: str) -> "NDArray[np.int64]":
    """The predicted class of each turn with a label."""
    logits: NDArray[np.float32] = getattr(call.logits[way], task)
    answers: NDArray[np.int64] = np.argmax(logits[call.labelled[way]], axis=1)
    return answers


def _call_answer(call: ComparedCall, way: str, task: str) -> "NDArray[np.int64]":
    """The predicted class of the call from all its turns, (1,); the class of no answer without any turn."""
    logits: NDArray[np.float32] = getattr(of_whole_call(call.logits[way]), task)
    return logits.argmax(axis=1) if len(logits) else np.array([logits.shape[1]])


def heard_shares(calls: Sequence[ComparedCall], bootstrap: BootstrapConfig, *, recognised: bool) -> dict[str, Any]:
    """How well the calls were heard, each share with its interval over calls.

    Args:
        calls: the calls of the validation side, at least one.
        bootstrap: samples of the calls.
        recognised: whether there was a recogniser.

    Returns:
        `character_error_rate`: by way with recognised text; None without a recogniser.
        `speech`: `missed`, the share of labelled time outside of found turns; `covered_utterances`; and
        `turns_without_label`.
    """
    covered = {name: np.array([getattr(call.coverage, name) for call in calls]) for name in calls[0].coverage._fields}
    shares = {
        "missed": (covered["missed_ms"], covered["speech_ms"]),
        "covered_utterances": (covered["covered"], covered["utterances"]),
        "turns_without_label": (covered["turns"] - covered["labelled_turns"], covered["turns"]),
    }
    speech: dict[str, Any] = {name: int(covered[name].sum()) for name in ("utterances", "turns")}
    for name, (parts, wholes) in shares.items():
        speech |= ratio_with_interval(name, parts, wholes, bootstrap)
    errors = {way: _error_rate(calls, way, bootstrap) for way in (TURNS_WAY, FOUND_WAY)}
    return {"character_error_rate": errors if recognised else None, "speech": speech}


def _error_rate(calls: Sequence[ComparedCall], way: str, bootstrap: BootstrapConfig) -> dict[str, Any]:
    errors, characters = (np.array(counts) for counts in zip(*(call.characters[way] for call in calls), strict=True))
    return ratio_with_interval("rate", errors, characters, bootstrap) | {"characters": int(characters.sum())}
