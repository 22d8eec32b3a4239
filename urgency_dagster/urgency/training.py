"""Fitting the network to the training side, choosing the best epoch on the validation side.

Source: the original pipeline for every default. Class weights are the exception: it computed them on all rows.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.devices import AUTO, reproducible, resolve_device
from urgency_dagster.errors import ModelError, SettingsError, TrainingDataError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, silent
from urgency_dagster.storage import StoragePaths, replacing
from urgency_dagster.tables import TRAIN, VALIDATION
from urgency_dagster.urgency.batches import Batch, UtteranceDataset, shuffled_batches, tokenise
from urgency_dagster.urgency.cards import model_card, training_facts
from urgency_dagster.urgency.checkpoints import read_checkpoint, write_checkpoint
from urgency_dagster.urgency.dataset import TrainingSet, read_training_set
from urgency_dagster.urgency.inference import predict_logits
from urgency_dagster.urgency.metrics import accuracy, confusion_matrix, f1_macro
from urgency_dagster.urgency.model_folder import UrgencyModel, save_urgency_model

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

AT_LEAST_ZERO = ("weight_decay", "min_learning_rate", "sentiment_weight", "urgency_weight", "dropout", "seed")
"""Numbers of the configuration that may be 0; the others must be above it."""


@dataclass(frozen=True)
class TrainingConfig:
    """The hyper-parameters of one training.

    Attributes:
        epochs: passes over the training side.
        batch_size: utterances per step.
        learning_rate: AdamW's learning rate at the start.
        weight_decay: AdamW's weight decay, on all parameters.
        min_learning_rate: where the cosine schedule, stepped once per epoch, ends.
        clip_norm: gradients are scaled down to this norm.
        sentiment_weight: share of the sentiment loss.
        urgency_weight: share of the urgency loss.
        attention_heads: heads of the cross-attention.
        dropout: dropout around the cross-attention; the text encoder keeps its own.
        max_length: tokens at which a text is cut; never more than the text model has positions.
        seed: seed of the first weights, the order of the rows and dropout.
        device: `auto`, `cpu`, `mps`, `cuda` or `cuda:<n>`.

    Raises:
        SettingsError: a number is negative, or zero where it must not be; a dropout is not below 1.

    Source: the original pipeline.
    """

    epochs: int = 5
    batch_size: int = 16
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    min_learning_rate: float = 1e-6
    clip_norm: float = 1.0
    sentiment_weight: float = 0.4
    urgency_weight: float = 0.6
    attention_heads: int = 4
    dropout: float = 0.1
    max_length: int = 512
    seed: int = 42
    device: str = AUTO

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "device" and not (value > 0 or (value == 0 and field.name in AT_LEAST_ZERO)):
                raise SettingsError(
                    f"{field.name} = {value}", "a number above 0", "correct the training's configuration"
                )
        if self.dropout >= 1:
            raise SettingsError(f"dropout = {self.dropout}", "a number below 1", "correct the training's configuration")


@dataclass(frozen=True)
class EpochScores:
    """What one epoch came to: the mean training loss, and scores of the validation side by utterance."""

    epoch: int
    loss: float
    learning_rate: float
    sent_acc: float
    sent_f1: float
    urg_acc: float
    urg_f1: float

    @property
    def average_f1(self) -> float:
        """What the best epoch is chosen by: the mean of the two macro-F1."""
        return (self.sent_f1 + self.urg_f1) / 2


@dataclass(frozen=True)
class TrainingSummary:
    """What a training came to.

    Attributes:
        best: the epoch that was kept.
        history: every epoch in order.
        parameters: number of trained parameters.
        device: where it was computed.
        data_sha256: hash of the training set.
        split_sha256: hash of its split.
    """

    best: EpochScores
    history: tuple[EpochScores, ...]
    parameters: int
    device: str
    data_sha256: str
    split_sha256: str


def train_urgency_model(
    paths: StoragePaths, text_model: PretrainedModel, config: TrainingConfig, progress: Progress = silent
) -> TrainingSummary:
    """What the training came to, after writing `best_model.pt` and the model folder.

    Args:
        paths: the storage root, with its training set.
        text_model: the pretrained text encoder and its tokenizer.
        config: the hyper-parameters.
        progress: told the steps done so far, with `loss` and `lr`.

    Raises:
        ArtefactError: the training set or an archive's vectors are missing or do not fit.
        ModelError: the text model's folder cannot be loaded.
        SettingsError: the device is not available, or the heads do not divide the text model's width.
        TrainingDataError: the loss is no longer a finite number.
    """
    training_set = read_training_set(paths)
    device = resolve_device(config.device)
    with reproducible(config.seed, device):
        model = untrained_model(training_set, text_model, config)
        model.network.to(device)
        data = _datasets(paths, training_set, model)
        facts = training_facts(training_set.summary, text_model, model, asdict(config))
        with replacing(paths.urgency.checkpoint) as checkpoint:
            history = _fit(Learner(model, data[TRAIN], config, device), data, checkpoint, facts, progress)
        best = read_checkpoint(paths.urgency.checkpoint)
        model.network.load_state_dict(best["model_state_dict"])
    scores = history[best["epoch"] - 1]
    summary = training_set.summary
    card = model_card(facts, summary, asdict(scores), [asdict(epoch) for epoch in history])
    save_urgency_model(paths.urgency.model, model, card)
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    return TrainingSummary(scores, tuple(history), parameters, device, summary.data_sha256, summary.sha256)


def class_weights(ids: "NDArray[np.int64]", classes: int) -> "NDArray[np.float32]":
    """The balanced weight of each class, float32, (K,): rows / (classes present x rows of the class).

    A class without rows gets 0; no loss is ever multiplied by it.
    """
    counts = np.bincount(ids, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(ids) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def load_text_model(text_model: PretrainedModel) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The pretrained encoder, float32, and its tokenizer, from their folder alone.

    Raises:
        ModelError: the folder holds no encoder or no tokenizer that transformers can load.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(text_model.folder, local_files_only=True)
        encoder = AutoModel.from_pretrained(text_model.folder, local_files_only=True, dtype="float32")
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the text model {text_model.name!r} cannot be loaded ({type(error).__name__})",
            "an encoder of the BERT family with its tokenizer",
            "set URGENCY_TEXT_MODEL to another model",
        ) from error
    return encoder, tokenizer


def untrained_model(training_set: TrainingSet, text_model: PretrainedModel, config: TrainingConfig) -> UrgencyModel:
    """The untrained network: pretrained encoder, fresh everything else."""
    from urgency_dagster.urgency.model import KoElectraCrossModal, ModelConfig

    encoder, tokenizer = load_text_model(text_model)
    labels = training_set.labels
    network_config = ModelConfig(
        text_width=encoder.config.hidden_size,
        audio_width=training_set.summary.audio_width,
        urgency_classes=len(labels.urgency),
        sentiment_classes=len(labels.sentiment),
        attention_heads=config.attention_heads,
        dropout=config.dropout,
    )
    max_length = min(config.max_length, encoder.config.max_position_embeddings)
    return UrgencyModel(KoElectraCrossModal(encoder, network_config), tokenizer, labels, network_config, max_length)


def _datasets(paths: StoragePaths, training_set: TrainingSet, model: UrgencyModel) -> dict[str, UtteranceDataset]:
    datasets = {}
    for side in (TRAIN, VALIDATION):
        rows = training_set.side(side)
        datasets[side] = UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
    return datasets


class Learner:
    """A network with its optimiser, its schedule and the class weights of the training side."""

    def __init__(self, model: UrgencyModel, train: UtteranceDataset, config: TrainingConfig, device: str) -> None:
        import torch
        from torch.optim.lr_scheduler import CosineAnnealingLR

        self.network = model.network
        self.config = config
        self.device = device
        self.optimizer: Optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.scheduler: LRScheduler = CosineAnnealingLR(
            self.optimizer, T_max=config.epochs, eta_min=config.min_learning_rate
        )
        urgency = class_weights(train.urgency, model.config.urgency_classes)
        sentiment = class_weights(train.sentiment, model.config.sentiment_classes)
        self.urgency_weights = torch.from_numpy(urgency).to(device)
        self.sentiment_weights = torch.from_numpy(sentiment).to(device)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def epoch(self, train: UtteranceDataset, epoch: int) -> Iterator[float]:
        """Trains one epoch; yields the loss of each step."""
        config = self.config
        self.network.train()
        for indices in shuffled_batches(len(train), config.batch_size, seed=config.seed, epoch=epoch):
            yield self._step(train[indices])

    def _step(self, batch: Batch) -> float:
        import torch

        self.optimizer.zero_grad()
        loss = self._loss(batch.to(self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDataError(
                f"the loss became {value}", "a finite number", "lower the learning rate, or look for NaN in the vectors"
            )
        return value

    def _loss(self, batch: Batch) -> "Tensor":
        from torch.nn.functional import cross_entropy

        logits = self.network(batch.input_ids, batch.attention_mask, batch.audio)
        sentiment = cross_entropy(logits.sentiment, batch.sentiment, weight=self.sentiment_weights)
        urgency = cross_entropy(logits.urgency, batch.urgency, weight=self.urgency_weights)
        return self.config.sentiment_weight * sentiment + self.config.urgency_weight * urgency


def _fit(
    learner: Learner,
    data: dict[str, UtteranceDataset],
    checkpoint: Path,
    facts: dict[str, Any],
    progress: Progress,
) -> list[EpochScores]:
    """The scores of every epoch, after writing the best one to `checkpoint`; the earlier wins a tie."""
    config = learner.config
    steps = math.ceil(len(data[TRAIN]) / config.batch_size)
    history: list[EpochScores] = []
    for epoch in range(1, config.epochs + 1):
        rate = learner.learning_rate
        losses = []
        for loss in learner.epoch(data[TRAIN], epoch):
            losses.append(loss)
            progress((epoch - 1) * steps + len(losses), config.epochs * steps, loss=loss, lr=rate)
        learner.scheduler.step()
        metrics = _validation_metrics(learner, data[VALIDATION])
        history.append(_epoch_scores(epoch, float(np.mean(losses)), rate, metrics))
        if max(history, key=lambda scores: scores.average_f1) is history[-1]:
            write_checkpoint(checkpoint, _state(learner, epoch, history[-1].average_f1, metrics) | facts)
    return history


def _validation_metrics(learner: Learner, validation: UtteranceDataset) -> dict[str, Any]:
    """Scores and class ids of the validation side under the original's names."""
    logits = predict_logits(learner.network, validation, batch_size=learner.config.batch_size, device=learner.device)
    metrics: dict[str, Any] = {}
    tasks = (("sent", logits.sentiment, validation.sentiment), ("urg", logits.urgency, validation.urgency))
    for task, scores, true in tasks:
        predicted = scores.argmax(axis=1)
        matrix = confusion_matrix(true, predicted, scores.shape[1])
        metrics |= {f"{task}_acc": accuracy(matrix), f"{task}_f1": f1_macro(matrix)}
        metrics |= {f"preds_{task}": predicted.tolist(), f"trues_{task}": true.tolist()}
    return metrics


def _epoch_scores(epoch: int, loss: float, rate: float, metrics: dict[str, Any]) -> EpochScores:
    scores = {name: metrics[name] for name in ("sent_acc", "sent_f1", "urg_acc", "urg_f1")}
    return EpochScores(epoch=epoch, loss=loss, learning_rate=rate, **scores)


def _state(learner: Learner, epoch: int, average_f1: float, metrics: dict[str, Any]) -> dict[str, Any]:
    """The keys of the original's checkpoint."""
    return {
        "epoch": epoch,
        "model_state_dict": dict(learner.network.state_dict()),
        "optimizer_state_dict": learner.optimizer.state_dict(),
        "scheduler_state_dict": learner.scheduler.state_dict(),
        "best_val_f1": average_f1,
        "val_metrics": metrics,
    }
