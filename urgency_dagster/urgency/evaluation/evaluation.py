"""Judging the trained model on the validation side: by utterance, by call, and against the majority class.

Only rows no weight was fitted to are read. How the findings are told is `report`'s.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from urgency_dagster.devices import reproducible, resolve_device
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, silent
from urgency_dagster.statistics.calibration import Reliability, probabilities, reliability
from urgency_dagster.tables import CALL_TAKER, CALLER, HIGH
from urgency_dagster.urgency.configuration import EvaluationConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import Labels, TrainingSet, call_codes, first_rows, read_training_set
from urgency_dagster.urgency.data.tables import TRAIN, URGENCY_PREDICTIONS, VALIDATION
from urgency_dagster.urgency.evaluation.baselines import baseline_logits
from urgency_dagster.urgency.evaluation.calibration import abstention, draw_reliability
from urgency_dagster.urgency.evaluation.decision import (
    draw_time_to_decision,
    expected_cost,
    time_to_decision,
)
from urgency_dagster.urgency.evaluation.predictions import Predictions, evaluate_predictions
from urgency_dagster.urgency.evaluation.report import classification_text, draw_confusions, report_text
from urgency_dagster.urgency.evaluation.slices import slice_labels, slice_scores
from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call, predict_logits
from urgency_dagster.urgency.package.model_folder import UrgencyModel, load_urgency_model, read_card
from urgency_dagster.urgency.package.thresholds import evaluate_thresholds
from urgency_dagster.writing import read_json, replacing_folder, write_json, write_table, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS, CLASSIFICATION, PREDICTIONS, REPORT = (
    "metrics.json",
    "classification_report.txt",
    "predictions.parquet",
    "report.md",
)
TIME_TO_DECISION, RELIABILITY = "time_to_decision.png", "reliability.png"

SIDES_OF_THE_TALK = {"caller": CALLER, "taker": CALL_TAKER}


def evaluate(paths: StoragePaths, config: EvaluationConfig, progress: Progress = silent) -> dict[str, Any]:
    """The metrics, after writing them, the predictions, the report and its pictures to the evaluation folder.

    Args:
        paths: the storage root, with its training set and its model folder.
        config: how to judge.
        progress: told the utterances done so far.

    Raises:
        ArtefactError: the training set or the model is missing or damaged, or the model was trained on another split.
        SettingsError: the device is not available.
    """
    training_set = read_training_set(paths)
    card = read_card(paths.urgency.model)
    _check_same_data(training_set, card)
    rows = training_set.side(VALIDATION)
    model = load_urgency_model(paths.urgency.model)
    logits = _logits(paths, model, rows, config, progress)
    judged = {"utterance": _judge_utterances(rows, logits), "call": _judge_calls(rows, logits)}
    majority = _majority(judged, training_set)
    metrics = _metrics(judged, majority, training_set, config)
    metrics |= _looked_into(rows, logits, judged, majority, training_set.labels, config)
    metrics |= _baselines(paths, training_set, rows, config)
    metrics |= {"calibration": _calibration(rows, logits, judged, model, config)}
    with replacing_folder(paths.urgency.evaluation) as folder:
        write_json(folder / METRICS, metrics)
        write_table(folder / PREDICTIONS, _predictions(rows, logits))
        _write_report(folder, judged, metrics, card)
        of_urgency = (logits.urgency, judged["utterance"].urgency, model.temperatures["urgency"])
        draw_reliability(folder / RELIABILITY, *_before_and_after(*of_urgency))
    return metrics


def read_metrics(paths: StoragePaths) -> dict[str, Any] | None:
    """The metrics of the evaluation that is there, or None when there is none or nobody can read it."""
    try:
        metrics: dict[str, Any] = read_json(paths.urgency.evaluation / METRICS)
    except (FileNotFoundError, ValueError):
        return None
    return metrics


def _check_same_data(training_set: TrainingSet, card: dict[str, Any]) -> None:
    if card["data_sha256"] != training_set.summary.data_sha256:
        raise ArtefactError(
            "the model was trained on another training set than the stored one",
            "one training set for both",
            "train the model again",
        )


def _logits(
    paths: StoragePaths, model: UrgencyModel, rows: pa.Table, config: EvaluationConfig, progress: Progress
) -> TaskLogits:
    device = resolve_device(config.device)
    dataset = UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
    with reproducible(config.seed, device):
        network = model.network.to(device)
        return predict_logits(network, dataset, batch_size=config.batch_size, device=device, progress=progress)


def _judge_utterances(rows: pa.Table, logits: TaskLogits) -> Predictions:
    return Predictions(
        urgency=rows["urgency_id"].to_numpy(),
        urgency_predicted=logits.urgency.argmax(axis=1),
        sentiment=rows["sentiment_id"].to_numpy(),
        sentiment_predicted=logits.sentiment.argmax(axis=1),
        calls=call_codes(rows),
    )


def _judge_calls(rows: pa.Table, logits: TaskLogits) -> Predictions:
    codes = call_codes(rows)
    mean = mean_by_call(logits, codes)
    first = first_rows(codes)
    return Predictions(
        urgency=rows["urgency_id"].to_numpy()[first],
        urgency_predicted=mean.urgency.argmax(axis=1),
        sentiment=rows["sentiment_id"].to_numpy()[first],
        sentiment_predicted=mean.sentiment.argmax(axis=1),
        calls=np.arange(len(first)),
    )


def _judge_majority(judged: Predictions, training: pa.Table) -> Predictions:
    """The same rows, all read as the training side's most frequent class."""
    frequent = {task: int(np.bincount(training[f"{task}_id"].to_numpy()).argmax()) for task in ("urgency", "sentiment")}
    return Predictions(
        urgency=judged.urgency,
        urgency_predicted=np.full_like(judged.urgency, frequent["urgency"]),
        sentiment=judged.sentiment,
        sentiment_predicted=np.full_like(judged.sentiment, frequent["sentiment"]),
        calls=judged.calls,
    )


def _majority(judged: dict[str, Predictions], training_set: TrainingSet) -> dict[str, Predictions]:
    """What a model that always answers the same comes to, by unit: the most frequent class of utterances, or calls."""
    training = training_set.side(TRAIN, ("_id", "urgency_id", "sentiment_id"))
    calls = training.take(first_rows(call_codes(training)))
    return {
        "utterance": _judge_majority(judged["utterance"], training),
        "call": _judge_majority(judged["call"], calls),
    }


def _metrics(
    judged: dict[str, Predictions],
    majority: dict[str, Predictions],
    training_set: TrainingSet,
    config: EvaluationConfig,
) -> dict[str, Any]:
    labels, summary = training_set.labels, training_set.summary
    metrics: dict[str, Any] = {unit: _scores(of_unit, labels, config) for unit, of_unit in judged.items()}
    return metrics | {
        "majority": _scores(majority["utterance"], labels, config),
        "majority_call": _scores(majority["call"], labels, config),
        "bootstrap_resamples": config.bootstrap_resamples,
        "split": {"mode_asked": summary.mode_asked, "mode_used": summary.mode_used, "sha256": summary.sha256},
        "data_sha256": summary.data_sha256,
    }


def _looked_into(
    rows: pa.Table,
    logits: TaskLogits,
    judged: dict[str, Predictions],
    majority: dict[str, Predictions],
    labels: Labels,
    config: EvaluationConfig,
) -> dict[str, Any]:
    """What the mean scores do not tell: parts of the rows, single sides of the talk, time, and cost."""
    utterance, calls = judged["utterance"], judged["call"]
    high = labels.urgency.index(HIGH)
    costs = np.array(config.cost_matrix)
    return {
        "slices": slice_scores(
            slice_labels(rows),
            utterance.urgency,
            utterance.urgency_predicted,
            utterance.calls,
            classes=len(labels.urgency),
            high=high,
            bootstrap=config.bootstrap,
        ),
        **{
            f"{name}_only": _one_side(rows, logits, speaker, labels, config)
            for name, speaker in SIDES_OF_THE_TALK.items()
        },
        "time_to_decision": time_to_decision(
            logits.urgency, rows["endAt"].to_numpy(), utterance.calls, calls.urgency, high, config.bootstrap
        ),
        "cost_per_1000_calls": {
            "model": expected_cost(calls.matrices(labels)["urgency"], costs),
            "majority": expected_cost(majority["call"].matrices(labels)["urgency"], costs),
            "matrix": costs.tolist(),
        },
    }


def _calibration(
    rows: pa.Table, logits: TaskLogits, judged: dict[str, Predictions], model: UrgencyModel, config: EvaluationConfig
) -> dict[str, Any]:
    """How far confidence and accuracy are apart, by utterance, and what is left to people, by call."""
    utterance, call = judged["utterance"], judged["call"]
    tasks = (("urgency", logits.urgency, utterance.urgency), ("sentiment", logits.sentiment, utterance.sentiment))
    found: dict[str, Any] = {}
    for task, of_task, true in tasks:
        temperature = model.temperatures[task]
        before, after = _before_and_after(of_task, true, temperature)
        found[task] = {"temperature": temperature, "ece_before": before.error, "ece_after": after.error}
    of_calls = mean_by_call(logits, call_codes(rows)).urgency
    of_classes = probabilities(of_calls, model.temperatures["urgency"])
    found["abstention"] = abstention(of_classes, call.urgency, config.bootstrap)
    high = model.labels.urgency.index(HIGH)
    found["thresholds"] = evaluate_thresholds(
        of_classes, call.urgency, high=high, thresholds=model.thresholds, bootstrap=config.bootstrap
    )
    return found


def _before_and_after(
    logits: "NDArray[np.float32]", true: "NDArray[np.int64]", temperature: float
) -> tuple[Reliability, Reliability]:
    return reliability(probabilities(logits), true), reliability(probabilities(logits, temperature), true)


def _baselines(
    paths: StoragePaths, training_set: TrainingSet, rows: pa.Table, config: EvaluationConfig
) -> dict[str, Any]:
    """The scores of the words alone and of the audio alone on the same rows, by utterance and by call."""
    labels = training_set.labels
    training = training_set.side(TRAIN, ("archive", "row", "text", "urgency_id", "sentiment_id"))
    classes = {"urgency": len(labels.urgency), "sentiment": len(labels.sentiment)}
    found = baseline_logits(paths, training, rows, classes, config.seed)
    return {
        **{name: _scores(_judge_utterances(rows, logits), labels, config) for name, logits in found.items()},
        **{f"{name}_call": _scores(_judge_calls(rows, logits), labels, config) for name, logits in found.items()},
    }


def _one_side(
    rows: pa.Table, logits: TaskLogits, speaker: int, labels: Labels, config: EvaluationConfig
) -> dict[str, Any] | None:
    """The scores by call of what one side said; None when it never spoke."""
    spoken = pc.fill_null(pc.equal(rows["speaker"], speaker), fill_value=False).to_numpy()
    if not spoken.any():
        return None
    heard = TaskLogits(logits.urgency[spoken], logits.sentiment[spoken])
    return _scores(_judge_calls(rows.filter(pa.array(spoken)), heard), labels, config)


def _scores(judged: Predictions, labels: Labels, config: EvaluationConfig) -> dict[str, Any]:
    return evaluate_predictions(judged, labels, config.bootstrap)


def _predictions(rows: pa.Table, logits: TaskLogits) -> pa.Table:
    columns = {name: rows[name] for name in ("archive", "_id", "utterance_id", "urgency_id", "sentiment_id")}
    for task, scores in (("urgency", logits.urgency), ("sentiment", logits.sentiment)):
        columns[f"{task}_predicted"] = pa.array(scores.argmax(axis=1), pa.int64())
        columns[f"{task}_logits"] = pa.array(scores.tolist(), pa.list_(pa.float32()))
    return pa.table([columns[name] for name in URGENCY_PREDICTIONS.names], schema=URGENCY_PREDICTIONS)


def _write_report(folder: Path, judged: dict[str, Predictions], metrics: dict[str, Any], card: dict[str, Any]) -> None:
    labels = Labels.from_json(card["labels"])
    draw_time_to_decision(folder / TIME_TO_DECISION, metrics["time_to_decision"])
    pictures = draw_confusions(folder, {unit: of_unit.matrices(labels) for unit, of_unit in judged.items()}, labels)
    write_text(folder / CLASSIFICATION, classification_text(judged, labels))
    write_text(folder / REPORT, report_text(metrics, card, pictures))
