"""Training the network on the training side; the best epoch is chosen on the development side.

`learner` holds the steps of an epoch, `resume` what an interrupted training continues from.
"""

import math
import shutil
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from urgency_dagster.devices import reproducible, resolve_device
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.statistics.confusion import accuracy, confusion_matrix, f1_macro, f1_macro_of_present
from urgency_dagster.urgency.configuration import Protocol, Selection, TrainingConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import TrainingSet, read_training_set
from urgency_dagster.urgency.data.splits import ORIGINAL
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN
from urgency_dagster.urgency.data.unknown_tokens import check_unknown_share, unknown_share
from urgency_dagster.urgency.network.text_encoder import load_text_model, usable_length
from urgency_dagster.urgency.package.cards import model_card, training_facts
from urgency_dagster.urgency.package.model_folder import UrgencyModel, save_urgency_model
from urgency_dagster.urgency.training.calibration import calibrate, calibration_facts
from urgency_dagster.urgency.training.learner import Learner
from urgency_dagster.urgency.training.precision import current_device
from urgency_dagster.urgency.training.resume import resume_training, save_best, save_epoch, take_best
from urgency_dagster.urgency.training.speaker import fit_speaker_model

TRAINING_COLUMNS = ("archive", "row", "_id", "text", "urgency_id", "sentiment_id", "audio_sha256")
"""The columns of the training set that a training reads."""


@dataclass(frozen=True)
class EpochScores:
    """The scores of one epoch, by utterance, on the side on which the best epoch is chosen.

    Attributes:
        epoch: its number, from 1.
        loss: mean training loss of its steps.
        learning_rate: learning rate of its steps.
        sent_acc: accuracy of the sentiment; None if it is left out.
        sent_f1: macro-F1 of the sentiment; None if it is left out.
        urg_acc: accuracy of the urgency; None if it is left out.
        urg_f1: macro-F1 of the urgency; None if it is left out.
    """

    epoch: int
    loss: float
    learning_rate: float
    sent_acc: float | None
    sent_f1: float | None
    urg_acc: float | None
    urg_f1: float | None

    @property
    def average_f1(self) -> float:
        """The mean macro-F1 of the tasks that are trained; the best epoch has the highest."""
        scores = [score for score in (self.sent_f1, self.urg_f1) if score is not None]
        return sum(scores) / len(scores)


@dataclass(frozen=True)
class TrainingSummary:
    """The result of a training.

    Attributes:
        best: the scores of the stored epoch.
        history: the scores of every epoch, in order.
        parameters: number of trained parameters.
        device: the device of the training.
        data_sha256: SHA-256 of the training set.
        split_sha256: SHA-256 of its split.
        selection: the side on which the best epoch was chosen.
        speaker: the scores of the speaker model; None without one.
    """

    best: EpochScores
    history: tuple[EpochScores, ...]
    parameters: int
    device: str
    data_sha256: str
    split_sha256: str
    selection: Selection
    speaker: dict[str, Any] | None


def train(
    paths: StoragePaths, text_model: PretrainedModel, config: TrainingConfig, progress: Progress = no_progress
) -> TrainingSummary:
    """Trains a model, writes `best_model.pt` and the model folder, and returns a summary.

    The best epoch, temperatures and thresholds are chosen on the development side. No row of the validation side is
    read. With `selection: validation` the best epoch is chosen on the validation side, and nothing else is fitted.
    An interrupted training continues after its last complete epoch; the result is the same.

    Args:
        paths: the storage root, with its training set.
        text_model: the pretrained text encoder and its tokenizer.
        config: the hyper-parameters.
        progress: called with the number of steps done, `loss` and `lr`.

    Raises:
        ArtefactError: the training set or an archive's vectors are missing or do not fit.
        ModelError: the text model's folder cannot be loaded or is unfit, see `load_text_model`, or too many tokens of
            the training texts are unknown to it.
        SettingsError: the device is not available or cannot compute in the precision, or the attention heads do not
            divide the text model's width.
        TrainingDataError: the loss is no longer a finite number.
    """
    training_set = read_training_set(paths)
    protocol = training_set.summary.protocol
    config = config.under(protocol)
    config = config.changed(**{f"{task}_weight": 0.0 for task in training_set.labels.left_out})
    device = resolve_device(config.device)
    with reproducible(config.seed, device), current_device(device):
        model = untrained_model(training_set, text_model, config)
        data = _datasets(paths, training_set, model)
        facts = training_facts(training_set.summary, text_model, model.max_length, config.model_dump())
        unknown = unknown_share(data[TRAIN], model.tokenizer)
        check_unknown_share(unknown, config.unknown_tokens_max, text_model)
        facts["unknown_tokens"] = unknown
        history = _fit(_learner(model, data, config, device, training_set), data, paths, facts, progress)
        best = take_best(paths.urgency.unfinished_training, paths.urgency.checkpoint)
        model.network.load_state_dict(best["model_state_dict"])
        model, fits = calibrate(model, data.get(DEVELOPMENT), config, device)
        model = replace(model, speaker=fit_speaker_model(paths, training_set, config.seed))
    scores = history[best["epoch"] - 1]
    card = model_card(facts, training_set.summary, asdict(scores), [asdict(epoch) for epoch in history])
    speaker = dict(model.speaker.scores) if model.speaker else None
    save_urgency_model(paths.urgency.model, model, card | calibration_facts(model, fits) | {"speaker": speaker})
    shutil.rmtree(paths.urgency.unfinished_training)
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    summary = training_set.summary
    hashes = (summary.data_sha256, summary.sha256)
    return TrainingSummary(scores, tuple(history), parameters, device, *hashes, summary.selection, speaker)


def untrained_model(training_set: TrainingSet, text_model: PretrainedModel, config: TrainingConfig) -> UrgencyModel:
    """A model of the pretrained text encoder and randomly initialised layers."""
    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, ModelConfig

    encoder, tokenizer = load_text_model(text_model)
    labels = training_set.labels
    network_config = ModelConfig(
        text_width=encoder.config.hidden_size,
        audio_width=training_set.summary.audio_width,
        urgency_classes=len(labels.urgency),
        sentiment_classes=len(labels.sentiment),
        attention_heads=config.attention_heads,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        audio_tokens=training_set.summary.audio_tokens,
    )
    max_length = usable_length(encoder, tokenizer, config.max_length)
    return UrgencyModel(KoElectraCrossModal(encoder, network_config), tokenizer, labels, network_config, max_length)


def _learner(
    model: UrgencyModel, data: dict[str, UtteranceDataset], config: TrainingConfig, device: str, trained_on: TrainingSet
) -> Learner:
    original = trained_on.summary.protocol == ORIGINAL
    weighted_by = [data[trained_on.summary.selection]] if original else []
    return Learner(model, data[TRAIN], config, device, weighted_by=weighted_by, by_length=not original)


def _datasets(paths: StoragePaths, training_set: TrainingSet, model: UrgencyModel) -> dict[str, UtteranceDataset]:
    """The utterances to train on, and those of the side on which the best epoch is chosen; no others are read."""

    def dataset(side: str) -> UtteranceDataset:
        rows = training_set.side(side, TRAINING_COLUMNS)
        return UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))

    return {side: dataset(side) for side in (TRAIN, training_set.summary.selection)}


def _fit(
    learner: Learner, data: dict[str, UtteranceDataset], paths: StoragePaths, facts: dict[str, Any], progress: Progress
) -> list[EpochScores]:
    """The scores of every epoch, after storing the best one; of equal epochs the earlier one.

    A training with the same facts continues after its last complete epoch.
    """
    config, folder = learner.config, paths.urgency.unfinished_training
    steps = math.ceil(len(data[TRAIN]) / config.batch_size)
    history = [EpochScores(**scores) for scores in resume_training(folder, facts, learner)]
    for epoch in range(len(history) + 1, config.epochs + 1):
        rate, losses = learner.learning_rate, []
        for loss in learner.epoch(data[TRAIN], epoch):
            losses.append(loss)
            progress((epoch - 1) * steps + len(losses), config.epochs * steps, loss=loss, lr=rate)
        learner.scheduler.step()
        metrics = _selection_metrics(learner, data[facts["split"]["selection"]], facts["protocol"])
        history.append(_epoch_scores(epoch, float(np.mean(losses)), rate, metrics))
        if max(history, key=lambda scores: scores.average_f1) is history[-1]:
            best = {"epoch": epoch, "best_val_f1": history[-1].average_f1, "val_metrics": metrics}
            save_best(folder, learner.state() | best | facts)
        save_epoch(folder, facts, learner, [asdict(scores) for scores in history])
    return history


def _selection_metrics(learner: Learner, chosen_on: UtteranceDataset, protocol: Protocol) -> dict[str, Any]:
    """Scores and class ids of the side that chooses, under the original's names; no scores of a task left out."""
    logits = learner.predict(chosen_on)
    metrics: dict[str, Any] = {}
    macro_f1 = f1_macro_of_present if protocol == ORIGINAL else f1_macro
    for task, name in (("sentiment", "sent"), ("urgency", "urg")):
        scores, true = getattr(logits, task), getattr(chosen_on, task)
        predicted = scores.argmax(axis=1)
        metrics |= dict.fromkeys((f"{name}_acc", f"{name}_f1"))
        if task in learner.labels.tasks:
            matrix = confusion_matrix(true, predicted, scores.shape[1])
            metrics |= {f"{name}_acc": accuracy(matrix), f"{name}_f1": macro_f1(matrix)}
        metrics |= {f"preds_{name}": predicted.tolist(), f"trues_{name}": true.tolist()}
    return metrics


def _epoch_scores(epoch: int, loss: float, rate: float, metrics: dict[str, Any]) -> EpochScores:
    scores = {name: metrics[name] for name in ("sent_acc", "sent_f1", "urg_acc", "urg_f1")}
    return EpochScores(epoch=epoch, loss=loss, learning_rate=rate, **scores)
