"""The sections of `metrics.json`: overall scores, breakdowns, calibration, and linear baselines."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from urgency_dagster.paths import StoragePaths
from urgency_dagster.statistics.calibration import (
    Reliability,
    calibration_with_intervals,
    probabilities,
    reliability,
)
from urgency_dagster.tables import CALL_TAKER, CALLER, HIGH
from urgency_dagster.urgency.configuration import EvaluationConfig
from urgency_dagster.urgency.data.dataset import TrainingSet, call_codes, first_rows
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.data.tables import TRAIN
from urgency_dagster.urgency.evaluation.baselines import baseline_logits
from urgency_dagster.urgency.evaluation.calibration import abstention
from urgency_dagster.urgency.evaluation.comparison import MAJORITY, differences_by_call
from urgency_dagster.urgency.evaluation.decision import expected_cost, time_to_decision
from urgency_dagster.urgency.evaluation.high_urgency import high_urgency
from urgency_dagster.urgency.evaluation.predictions import Answers, Predictions, evaluate_predictions
from urgency_dagster.urgency.evaluation.slices import slice_labels, slice_scores
from urgency_dagster.urgency.network.inference import TaskLogits
from urgency_dagster.urgency.package.model_folder import UrgencyModel
from urgency_dagster.urgency.package.thresholds import evaluate_thresholds

SPEAKER_SECTIONS = {"caller_only": CALLER, "taker_only": CALL_TAKER}
"""Sections with scores from the utterances of one speaker."""

OF_URGENCY = ("slices", "time_to_decision", "cost_per_1000_calls", "high_urgency")
"""Sections about the urgency alone."""


def overall_scores(
    answers: Answers, majority: dict[str, Predictions], training_set: TrainingSet, config: EvaluationConfig
) -> dict[str, Any]:
    """Scores of the model and of the majority class, by utterance and by call, and the split they belong to."""
    labels, summary = training_set.labels, training_set.summary
    sections = {
        "utterance": answers.utterance,
        "call": answers.call,
        "majority": majority["utterance"],
        "majority_call": majority["call"],
    }
    return {
        **{name: evaluate_predictions(of_name, labels, config.bootstrap) for name, of_name in sections.items()},
        "bootstrap_resamples": config.bootstrap_resamples,
        "split": {"mode_asked": summary.mode_asked, "mode_used": summary.mode_used, "sha256": summary.sha256},
        "data_sha256": summary.data_sha256,
    }


def majority_predictions(answers: Answers, training_set: TrainingSet) -> dict[str, Predictions]:
    """The majority class of the training side as the prediction for every utterance, and for every call."""
    training = training_set.side(TRAIN, ("_id", "urgency_id", "sentiment_id"))
    calls = training.take(first_rows(call_codes(training)))
    return {
        "utterance": _constant(answers.utterance, training),
        "call": _constant(answers.call, calls),
    }


def _constant(predictions: Predictions, training: pa.Table) -> Predictions:
    frequent = {task: int(np.bincount(training[f"{task}_id"].to_numpy()).argmax()) for task in ("urgency", "sentiment")}
    return Predictions(
        urgency=predictions.urgency,
        urgency_predicted=np.full_like(predictions.urgency, frequent["urgency"]),
        sentiment=predictions.sentiment,
        sentiment_predicted=np.full_like(predictions.sentiment, frequent["sentiment"]),
        calls=predictions.calls,
    )


def breakdowns(
    answers: Answers, majority: dict[str, Predictions], model: UrgencyModel, config: EvaluationConfig
) -> dict[str, Any]:
    """Scores by speaker; of the urgency also by slice, seconds heard and alarm threshold, and the cost of errors.

    What is about urgency is None if it is left out.
    """
    labels = model.labels
    by_speaker = {name: _of_speaker(answers, speaker, labels, config) for name, speaker in SPEAKER_SECTIONS.items()}
    if "urgency" in labels.left_out:
        return by_speaker | dict.fromkeys(OF_URGENCY)
    return by_speaker | _urgency_breakdowns(answers, majority, model, config)


def _urgency_breakdowns(
    answers: Answers, majority: dict[str, Predictions], model: UrgencyModel, config: EvaluationConfig
) -> dict[str, Any]:
    utterance, call, labels = answers.utterance, answers.call, model.labels
    high = labels.urgency.index(HIGH)
    of_calls = probabilities(answers.call_logits.urgency, model.temperatures["call"]["urgency"])
    costs = np.array(config.cost_matrix)
    return {
        "slices": slice_scores(
            slice_labels(answers.rows),
            utterance.urgency,
            utterance.urgency_predicted,
            utterance.calls,
            classes=len(labels.urgency),
            high=high,
            bootstrap=config.bootstrap,
        ),
        "time_to_decision": time_to_decision(
            answers.logits.urgency,
            answers.rows["endAt"].to_numpy(),
            utterance.calls,
            call.urgency,
            high,
            config.bootstrap,
        ),
        "cost_per_1000_calls": {
            "model": expected_cost(call.matrices(labels)["urgency"], costs),
            "majority": expected_cost(majority["call"].matrices(labels)["urgency"], costs),
            "matrix": costs.tolist(),
        },
        "high_urgency": high_urgency(of_calls[:, high], call.urgency == high),
    }


def _of_speaker(answers: Answers, speaker: int, labels: Labels, config: EvaluationConfig) -> dict[str, Any] | None:
    """The scores by call from the utterances of one speaker; None without any."""
    spoken = pc.fill_null(pc.equal(answers.rows["speaker"], speaker), fill_value=False).to_numpy()
    if not spoken.any():
        return None
    logits = TaskLogits(answers.logits.urgency[spoken], answers.logits.sentiment[spoken])
    by_speaker = Answers.of(answers.rows.filter(pa.array(spoken)), logits)
    return evaluate_predictions(by_speaker.call, labels, config.bootstrap)


def reliabilities(answers: Answers, model: UrgencyModel, task: str) -> dict[str, tuple[Reliability, Reliability]]:
    """By unit, the reliability of one task, without and with the temperature."""
    units = {"utterance": (answers.logits, answers.utterance), "call": (answers.call_logits, answers.call)}
    pairs = {}
    for unit, (logits, predictions) in units.items():
        before, after = (
            reliability(probabilities(getattr(logits, task), temperature), getattr(predictions, task))
            for temperature in (1.0, model.temperatures[unit][task])
        )
        pairs[unit] = before, after
    return pairs


def calibration_scores(answers: Answers, model: UrgencyModel, config: EvaluationConfig) -> dict[str, Any]:
    """Calibration by utterance and by call; accuracy after deferral and the effect of the thresholds by call.

    The last two are about the urgency, and None if it is left out.
    """
    levels = {"utterance": (answers.logits, answers.utterance), "call": (answers.call_logits, answers.call)}
    by_level = {
        level: _calibration_of_level(
            *of_level, {task: model.temperatures[level][task] for task in model.labels.tasks}, config
        )
        for level, of_level in levels.items()
    }
    scores: dict[str, Any] = by_level["utterance"] | {"call": by_level["call"]}
    if "urgency" in model.labels.left_out:
        return scores | dict.fromkeys(("abstention", "thresholds"))
    class_probabilities = probabilities(answers.call_logits.urgency, model.temperatures["call"]["urgency"])
    true, high = answers.call.urgency, model.labels.urgency.index(HIGH)
    scores["abstention"] = abstention(class_probabilities, true, config.bootstrap)
    scores["thresholds"] = evaluate_thresholds(
        class_probabilities, true, high=high, thresholds=model.thresholds, bootstrap=config.bootstrap
    )
    return scores


def _calibration_of_level(
    logits: TaskLogits, predictions: Predictions, temperatures: Mapping[str, float], config: EvaluationConfig
) -> dict[str, Any]:
    """For each task `temperature`, and without and with it the calibration error and the negative log-likelihood.

    Their names are `ece_before`, `ece_after`, `nll_before` and `nll_after`; the 95 % interval over calls is
    `<name>_interval`.
    """
    scores: dict[str, Any] = {}
    for task, temperature in temperatures.items():
        scores[task] = {"temperature": temperature}
        for when, applied in (("before", 1.0), ("after", temperature)):
            found = calibration_with_intervals(
                probabilities(getattr(logits, task), applied),
                getattr(predictions, task),
                predictions.calls,
                config.bootstrap,
            )
            for name in ("ece", "nll"):
                scores[task] |= {
                    f"{name}_{when}": found[name],
                    f"{name}_{when}_interval": found[f"{name}_interval"],
                }
    return scores


def baseline_answers(
    paths: StoragePaths, training_set: TrainingSet, rows: pa.Table, config: EvaluationConfig
) -> dict[str, Answers]:
    """The answers of linear models of the text alone and of the audio alone."""
    labels = training_set.labels
    training = training_set.side(TRAIN, ("archive", "row", "text", "urgency_id", "sentiment_id"))
    classes = {task: len(getattr(labels, task)) for task in labels.tasks}
    logits = baseline_logits(paths, training, rows, classes, config.seed)
    return {name: Answers.of(rows, of_name) for name, of_name in logits.items()}


def baseline_scores(
    answers: Mapping[str, Answers], model: Predictions, majority: Predictions, labels: Labels, config: EvaluationConfig
) -> dict[str, Any]:
    """The scores of the baselines, by utterance and by call, and by how much the model is better, by call.

    Args:
        answers: those of each baseline.
        model: the predictions of the model, by call.
        majority: those of the majority class, by call.
        labels: the class names.
        config: the bootstrap.
    """
    by_call = {MAJORITY: majority} | {name: of_name.call for name, of_name in answers.items()}
    return {
        "differences": differences_by_call(model, by_call, labels, config.bootstrap),
        **{
            name: evaluate_predictions(of_name.utterance, labels, config.bootstrap) for name, of_name in answers.items()
        },
        **{
            f"{name}_call": evaluate_predictions(of_name.call, labels, config.bootstrap)
            for name, of_name in answers.items()
        },
    }
