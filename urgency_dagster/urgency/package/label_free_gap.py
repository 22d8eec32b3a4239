"""What was measured of a model without labels: the gap, and the thresholds for its way of listening.

It is measured after the training, so it lies beside the model folder and not in it. An exported folder holds a copy. It
is used only with the weights and the recogniser that it was measured with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter

from urgency_dagster.listening import Listening, Recogniser, recogniser_identity
from urgency_dagster.paths import UrgencyPaths
from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.writing import read_json, text_hash

GAP_METRICS = "metrics.json"

LABEL_WAY, FOUND_WAY = "label", "found_turns"
"""Names in `metrics.json`: label turns and label text; turns that were found and text that was recognised."""


@dataclass(frozen=True)
class LabelFreeGap:
    """Macro-F1 by call without labels against that with them, on the validation side.

    Attributes:
        listening: the way of listening that was measured.
        thresholds: thresholds for the urgency of a call that is heard in this way, see `thresholds.fit_thresholds`.
        task: the task of the scores: `urgency`, or `sentiment` if urgency is left out.
        with_labels: macro-F1 with label turns and label text.
        without_labels: macro-F1 with turns that were found and text that was recognised.
        interval: 95 % interval over calls of `without_labels` minus `with_labels`; None if there are too few calls.
        calls: number of validation calls.
    """

    listening: Listening
    thresholds: Mapping[str, FiniteFloat]
    task: str
    with_labels: FiniteFloat
    without_labels: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat] | None
    calls: int


def recogniser_hash(name: str) -> str:
    """What stands for a recogniser in `metrics.json`. A URL or the path of a folder is not stored."""
    return text_hash(recogniser_identity(name))


def gap_folder_in(exported: Path) -> Path:
    """Where an exported folder holds its copy."""
    return UrgencyPaths(exported).label_free_gap


def read_label_free_gap(model_folder: Path, weights_sha256: str, recogniser: str | Recogniser) -> LabelFreeGap | None:
    """What was measured of a model with a recogniser.

    Args:
        model_folder: the folder of the model. The gap lies in its `label_free_gap/` if it is an exported one, else in
            the folder of that name beside it.
        weights_sha256: SHA-256 of the model's weights.
        recogniser: the name of the recogniser. One of the caller's own has no name, so nothing was measured with it.

    Returns:
        None if nothing was measured, or with another model or recogniser, or if label turns and label text did not
        give the predictions of the evaluation.
    """
    if not isinstance(recogniser, str):
        return None
    folder = model_folder.resolve()
    for place in (gap_folder_in(folder), gap_folder_in(folder.parent)):
        found = _measured(place, weights_sha256)
        if found and found[0] == recogniser_hash(recogniser):
            return found[1]
    return None


def is_measured(folder: Path, weights_sha256: str) -> bool:
    """Whether the folder of a gap holds one that can be used with some weights."""
    return _measured(folder, weights_sha256) is not None


def _measured(folder: Path, weights_sha256: str) -> tuple[str, LabelFreeGap] | None:
    """The hash of the recogniser, and the gap; None if it is of other weights, cannot be trusted, or is damaged."""
    try:
        metrics: Mapping[str, Any] = read_json(folder / GAP_METRICS)
        of_weights = metrics["model"]["weights_sha256"] == weights_sha256
        usable = of_weights and metrics["same_as_evaluation"]["passed"]
        return (metrics["recogniser_sha256"], _gap(metrics)) if usable else None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError):  # none, or of another version
        return None


def _gap(metrics: Mapping[str, Any]) -> LabelFreeGap:
    scores = {way: metrics["ways"][way]["call"] for way in (LABEL_WAY, FOUND_WAY)}
    task = TASKS[0] if scores[LABEL_WAY][TASKS[0]] else TASKS[1]
    stored = {
        "listening": metrics["listening"],
        "thresholds": metrics["thresholds"],
        "task": task,
        "with_labels": scores[LABEL_WAY][task]["f1_macro"],
        "without_labels": scores[FOUND_WAY][task]["f1_macro"],
        "interval": metrics["differences"][FOUND_WAY]["call"][task]["f1_macro_interval"] or None,
        "calls": metrics["calls"]["validation"]["measured"],
    }
    return TypeAdapter(LabelFreeGap).validate_python(stored)
