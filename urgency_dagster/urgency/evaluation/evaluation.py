"""Evaluation of the trained model on the validation side: by utterance, by call, against baselines.

`metrics` computes the scores, `report` presents them.
"""

from typing import Any

import pyarrow as pa

from urgency_dagster.devices import reproducible, resolve_device
from urgency_dagster.paths import StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.urgency.configuration import EvaluationConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import read_training_set
from urgency_dagster.urgency.data.tables import URGENCY_PREDICTIONS, VALIDATION
from urgency_dagster.urgency.evaluation.metrics import (
    baseline_answers,
    baseline_scores,
    breakdowns,
    calibration_scores,
    majority_predictions,
    overall_scores,
    reliabilities,
)
from urgency_dagster.urgency.evaluation.pictures import draw_pictures
from urgency_dagster.urgency.evaluation.predictions import Answers
from urgency_dagster.urgency.evaluation.report.classification import classification_text
from urgency_dagster.urgency.evaluation.report.document import TITLE, report_text
from urgency_dagster.urgency.evaluation.report.html import html_page
from urgency_dagster.urgency.network.inference import TaskLogits, predict_logits
from urgency_dagster.urgency.package.cards import check_same_data
from urgency_dagster.urgency.package.model_folder import UrgencyModel, load_urgency_model, read_card
from urgency_dagster.writing import read_json, replacing_folder, write_json, write_table, write_text

METRICS, CLASSIFICATION, PREDICTIONS, REPORT, PAGE = (
    "metrics.json",
    "classification_report.txt",
    "predictions.parquet",
    "report.md",
    "report.html",
)


def evaluate(paths: StoragePaths, config: EvaluationConfig, progress: Progress = no_progress) -> dict[str, Any]:
    """Evaluates the model of a storage root and returns the metrics.

    Metrics, predictions, the report as Markdown and as HTML, and its pictures are written to the evaluation folder.

    Args:
        paths: the storage root, with its training set and its model folder.
        config: the options.
        progress: called with the number of utterances done.

    Raises:
        ArtefactError: the training set or the model is missing or damaged, or the model was trained on another
            training set.
        SettingsError: the device is not available.
    """
    training_set = read_training_set(paths)
    card = read_card(paths.urgency.model)
    check_same_data(card, training_set.summary)
    model = load_urgency_model(paths.urgency.model)
    rows = training_set.side(VALIDATION)
    answers = Answers.of(rows, _logits(paths, model, rows, config, progress))
    majority = majority_predictions(answers, training_set)
    baselines = baseline_answers(paths, training_set, rows, config)
    metrics = (
        overall_scores(answers, majority, training_set, config)
        | breakdowns(answers, majority, model, config)
        | baseline_scores(baselines, answers.call, majority["call"], training_set.labels, config)
        | {"calibration": calibration_scores(answers, model, config), "left_out": training_set.summary.left_out}
    )
    _write(paths, answers, metrics, card, model)
    return metrics


def read_metrics(paths: StoragePaths) -> dict[str, Any] | None:
    """The stored metrics; None if there are none or the file is damaged."""
    try:
        metrics: dict[str, Any] = read_json(paths.urgency.evaluation / METRICS)
    except (FileNotFoundError, ValueError):
        return None
    return metrics


def _logits(
    paths: StoragePaths, model: UrgencyModel, rows: pa.Table, config: EvaluationConfig, progress: Progress
) -> TaskLogits:
    device = resolve_device(config.device)
    dataset = UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
    with reproducible(config.seed, device):
        network = model.network.to(device)
        return predict_logits(network, dataset, batch_size=config.batch_size, device=device, progress=progress)


def _write(
    paths: StoragePaths,
    answers: Answers,
    metrics: dict[str, Any],
    card: dict[str, Any],
    model: UrgencyModel,
) -> None:
    by_unit = {"utterance": answers.utterance, "call": answers.call}
    matrices = {unit: predictions.matrices(model.labels) for unit, predictions in by_unit.items()}
    with replacing_folder(paths.urgency.evaluation) as folder:
        write_json(folder / METRICS, metrics)
        write_table(folder / PREDICTIONS, _prediction_table(answers))
        pairs = reliabilities(answers, model, model.labels.tasks[0])
        pictures = draw_pictures(folder, metrics, card, matrices, pairs, model.labels)
        report = report_text(metrics, card, pictures)
        write_text(folder / CLASSIFICATION, classification_text(by_unit, model.labels))
        write_text(folder / REPORT, report)
        write_text(folder / PAGE, html_page(report, TITLE, folder))


def _prediction_table(answers: Answers) -> pa.Table:
    rows = answers.rows
    columns = {name: rows[name] for name in ("archive", "_id", "utterance_id", "urgency_id", "sentiment_id")}
    for task, scores in (("urgency", answers.logits.urgency), ("sentiment", answers.logits.sentiment)):
        columns[f"{task}_predicted"] = pa.array(scores.argmax(axis=1), pa.int64())
        columns[f"{task}_logits"] = pa.array(scores.tolist(), pa.list_(pa.float32()))
    return pa.table([columns[name] for name in URGENCY_PREDICTIONS.names], schema=URGENCY_PREDICTIONS)
