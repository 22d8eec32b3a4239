"""The measurement of what missing labels cost a model, and of the thresholds for calls without labels.

`labelled_calls` reads the held-out calls, `listening_ways` hears them, `scores` compares the ways, `fitting` fits the
thresholds, `report` writes the page for people. No text is kept: only figures are in memory after a call.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from urgency_dagster.devices import reproducible
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.scoring.agreement import max_difference
from urgency_dagster.scoring.configuration import GapConfig
from urgency_dagster.scoring.gap.fitting import HeardCalls, fit_label_free_thresholds, threshold_effects
from urgency_dagster.scoring.gap.labelled_calls import LabelledCall, labelled_calls
from urgency_dagster.scoring.gap.listening_ways import ComparedCall, call_logits, compared_call, heard_alone
from urgency_dagster.scoring.gap.report import REPORT, report_text
from urgency_dagster.scoring.gap.scores import gap_scores, heard_shares
from urgency_dagster.scoring.prediction import REASONS, reason_of
from urgency_dagster.urgency import (
    GAP_METRICS,
    HeldOutCalls,
    Predictor,
    TaskLogits,
    offered_thresholds,
    read_held_out_calls,
    recogniser_hash,
)
from urgency_dagster.writing import replacing_folder, write_json, write_text

T = TypeVar("T")

NO_RECOGNISER = (
    "There was no recogniser (URGENCY_RECOGNISER is `none`), so turns had no text: the character error rate is not "
    "measured, and what recognised text would cost neither."
)


@dataclass
class Heard:
    """The calls of one side that were asked for, and why some have no answer.

    Attributes:
        asked: number of calls of the side.
        measured: number of calls that were heard.
        left_out: calls that could not be heard, by reason.
    """

    asked: int
    measured: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def measure_label_free_gap(
    paths: StoragePaths, predictor: Predictor, config: GapConfig, progress: Progress = no_progress
) -> dict[str, Any]:
    """Hears the held-out calls with and without their labels, writes `metrics.json` and `report.md`, returns metrics.

    The model and its evaluation are not changed. One recording is in memory at a time.

    Args:
        paths: the storage root, with its training set, its model, their evaluation and the recordings.
        predictor: the model of the storage root. What is measured with a recogniser of the caller's own is not found
            again by `urgency.load_model`.
        config: the options.
        progress: called with the number of calls done.

    Raises:
        ArtefactError: see `urgency.read_held_out_calls`; or no validation call can be heard.
        MissingExtraError, ModelError, SettingsError: see `Predictor.listener`; NoRecogniserError if the recogniser
            cannot be loaded.
    """
    held_out = read_held_out_calls(paths)
    predictor.listener.load_recogniser()  # an unusable model is no fault of a call
    sides = {"development": held_out.development, "validation": held_out.validation}
    heard = {side: Heard(len(pc.unique(rows["_id"]))) for side, rows in sides.items()}
    done = _Done(sum(of_set.asked for of_set in heard.values()), progress)
    with reproducible(config.seed, predictor.device):
        fitted_on = [
            (call.urgency, logits)
            for call, logits in _heard(paths, held_out.development, _hear_alone(predictor), heard["development"], done)
        ]
        compare = _compare(predictor)
        compared = [call for _, call in _heard(paths, held_out.validation, compare, heard["validation"], done)]
    if not compared:
        raise _nothing_heard(heard["validation"])
    metrics = {
        **_measured_with(predictor),
        "calls": {name: asdict(of_set) for name, of_set in heard.items()},
        "same_as_evaluation": _same_as_evaluation(paths, held_out, compared),
        **_scores(predictor, compared, config),
        **_thresholds(predictor, held_out, fitted_on, compared, config),
        "bootstrap_resamples": config.bootstrap_resamples,
    }
    with replacing_folder(paths.urgency.label_free_gap) as folder:
        write_text(folder / REPORT, report_text(metrics, held_out.config.min_development_calls))
        write_json(folder / GAP_METRICS, metrics)
    return metrics


class _Done:
    """The number of calls done, over both sides."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def one(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _hear_alone(predictor: Predictor) -> Callable[[LabelledCall], TaskLogits]:
    return lambda call: call_logits(predictor, heard_alone(predictor, call))


def _compare(predictor: Predictor) -> Callable[[LabelledCall], ComparedCall]:
    return lambda call: compared_call(predictor, call)


def _heard(
    paths: StoragePaths, rows: pa.Table, hear: Callable[[LabelledCall], T], heard: Heard, done: _Done
) -> Iterator[tuple[LabelledCall, T]]:
    """Yields each call that can be heard, and counts the others by reason."""
    for call in labelled_calls(paths, rows):
        try:
            result = hear(call)
        except tuple(REASONS) as error:
            reason = str(reason_of(error))
            heard.left_out[reason] = heard.left_out.get(reason, 0) + 1
        else:
            heard.measured += 1
            yield call, result
        done.one()


def _measured_with(predictor: Predictor) -> dict[str, Any]:
    name, provenance, recogniser = predictor.recogniser, predictor.provenance, predictor.listener.recogniser
    return {
        "model": {"weights_sha256": provenance.weights_sha256, "speech_model": provenance.speech_model},
        "data_sha256": provenance.data_sha256,
        "listening": recogniser.listening if recogniser else "none",
        "recogniser_sha256": recogniser_hash(name) if isinstance(name, str) else "",
    }


def _scores(predictor: Predictor, compared: list[ComparedCall], config: GapConfig) -> dict[str, Any]:
    labels = predictor.model.labels
    classes = {task: len(getattr(labels, task)) for task in labels.tasks}
    recognised = predictor.listener.recogniser is not None
    return {
        **gap_scores(compared, classes, config.bootstrap),
        **heard_shares(compared, config.bootstrap, recognised=recognised),
        "not_measured": "" if recognised else NO_RECOGNISER,
    }


def _thresholds(
    predictor: Predictor,
    held_out: HeldOutCalls,
    fitted_on: HeardCalls,
    compared: list[ComparedCall],
    config: GapConfig,
) -> dict[str, Any]:
    fits = fit_label_free_thresholds(predictor.model, held_out, fitted_on)
    thresholds = offered_thresholds(fits)
    return {
        "thresholds": thresholds,
        "threshold_fits": {name: asdict(fit) | {"interval": list(fit.interval)} for name, fit in fits.items()},
        "threshold_effects": threshold_effects(predictor.model, thresholds, compared, config.bootstrap),
    }


def _same_as_evaluation(paths: StoragePaths, held_out: HeldOutCalls, compared: list[ComparedCall]) -> dict[str, Any]:
    difference = max(call.difference for call in compared)
    archives = pc.unique(held_out.validation["archive"]).to_pylist()
    limit = max_difference(paths, archives)
    return {"max_difference": difference, "limit": limit, "passed": difference <= limit}


def _nothing_heard(heard: Heard) -> ArtefactError:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(heard.left_out.items()))
    return ArtefactError(
        f"none of the {heard.asked} validation calls can be heard ({reasons})",
        "the recordings of the validation side",
        "materialize call_recordings if its folders were deleted after use, or see if the recogniser answers",
    )
