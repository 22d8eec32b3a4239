"""What was measured of a model without labels: the gap, and the thresholds for its way of listening.

It is measured after the training, so its file lies beside the model folder and not in it. It is used only with the
weights and the recogniser that it was measured with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    thresholds: Mapping[str, float]
    task: str
    with_labels: float
    without_labels: float
    interval: tuple[float, float] | None
    calls: int


def recogniser_hash(name: str) -> str:
    """What stands for a recogniser in `metrics.json`. A URL or the path of a folder is not stored."""
    return text_hash(recogniser_identity(name))


def read_label_free_gap(model_folder: Path, weights_sha256: str, recogniser: str | Recogniser) -> LabelFreeGap | None:
    """What was measured of a model with a recogniser.

    Args:
        model_folder: the folder of the model. The gap lies beside it, in `label_free_gap/`.
        weights_sha256: SHA-256 of the model's weights.
        recogniser: the name of the recogniser. One of the caller's own has no name, so nothing was measured with it.

    Returns:
        None if nothing was measured, or with another model or recogniser, or if label turns and label text did not
        give the predictions of the evaluation.
    """
    source = UrgencyPaths(model_folder.resolve().parent).label_free_gap / GAP_METRICS
    if not isinstance(recogniser, str) or not source.is_file():
        return None
    try:
        return _gap(read_json(source), weights_sha256, recogniser_hash(recogniser))
    except (KeyError, TypeError, ValueError):  # damaged, or of another version
        return None


def _gap(metrics: Mapping[str, Any], weights_sha256: str, recogniser_sha256: str) -> LabelFreeGap | None:
    measured_with = metrics["model"]["weights_sha256"], metrics["recogniser_sha256"]
    if measured_with != (weights_sha256, recogniser_sha256) or not metrics["same_as_evaluation"]["passed"]:
        return None
    scores = {way: metrics["ways"][way]["call"] for way in (LABEL_WAY, FOUND_WAY)}
    task = next(task for task in TASKS if scores[LABEL_WAY][task])
    interval = metrics["differences"][FOUND_WAY]["call"][task]["f1_macro_interval"]
    return LabelFreeGap(
        listening=metrics["listening"],
        thresholds=metrics["thresholds"],
        task=task,
        with_labels=scores[LABEL_WAY][task]["f1_macro"],
        without_labels=scores[FOUND_WAY][task]["f1_macro"],
        interval=tuple(interval) if interval else None,
        calls=metrics["calls"]["validation"]["measured"],
    )
