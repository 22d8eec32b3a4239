"""A network with its optimiser and losses, and the steps of an epoch. `fit` chooses the best epoch.

Source: the original pipeline. Class weights and the order of the utterances are the original's only on demand.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.errors import TrainingDataError
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.batches import Batch, UtteranceDataset, bucketed_batches, shuffled_batches
from urgency_dagster.urgency.network.inference import TaskLogits, predict_logits
from urgency_dagster.urgency.package.model_folder import UrgencyModel
from urgency_dagster.urgency.training.cuda_graphs import CudaGraphGradients
from urgency_dagster.urgency.training.precision import MixedPrecision

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.optim.lr_scheduler import LRScheduler


def class_weights(ids: "NDArray[np.int64]", classes: int) -> "NDArray[np.float32]":
    """The balanced weight of each class, float32, (K,): rows / (present classes x rows of the class).

    A class without rows gets 0.
    """
    counts = np.bincount(ids, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(ids) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


class Learner:
    """A network with its optimiser, its learning-rate schedule and the class weights of the training side.

    Args:
        model: its network is moved to the device.
        train: the training side.
        config: the hyper-parameters.
        device: a torch device.
        weighted_by: further utterances that the class weights are computed on, as in the original.
        by_length: whether a batch has texts of similar length; the original draws without regard to it.

    Raises:
        SettingsError: the device cannot compute in the configured precision.
    """

    def __init__(
        self,
        model: UrgencyModel,
        train: UtteranceDataset,
        config: TrainingConfig,
        device: str,
        *,
        weighted_by: Sequence[UtteranceDataset] = (),
        by_length: bool = True,
    ) -> None:
        import torch
        from torch.optim.lr_scheduler import CosineAnnealingLR

        self.config, self.device, self._by_length = config, device, by_length
        self.precision = MixedPrecision(device, config.mixed_precision)
        self.network, self.labels = model.network.to(device), model.labels
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.scheduler: LRScheduler = CosineAnnealingLR(
            self.optimizer, T_max=config.epochs, eta_min=config.min_learning_rate
        )
        weighted = (train, *weighted_by)
        urgency = class_weights(np.concatenate([rows.urgency for rows in weighted]), model.config.urgency_classes)
        sentiment = class_weights(np.concatenate([rows.sentiment for rows in weighted]), model.config.sentiment_classes)
        self.urgency_weights = torch.from_numpy(urgency).to(device)
        self.sentiment_weights = torch.from_numpy(sentiment).to(device)
        on_cuda = torch.device(device).type == "cuda"
        self._graphs = CudaGraphGradients(self._gradients, device, model.max_length) if on_cuda else None

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def epoch(self, train: UtteranceDataset, epoch: int) -> Iterator[float]:
        """Trains one epoch; yields the loss of each step.

        Random numbers depend on the seed and the epoch only, so a resumed training repeats them.

        Raises:
            TrainingDataError: the loss is not a finite number.
        """
        import torch

        torch.manual_seed(_epoch_seed(self.config.seed, epoch))
        self.network.train()
        for indices in self._batches(train, epoch):
            yield self._step(train[indices])

    def _batches(self, train: UtteranceDataset, epoch: int) -> "list[NDArray[np.int64]]":
        seed, size = self.config.seed, self.config.batch_size
        if self._by_length:
            return bucketed_batches(train.lengths, size, seed=seed, epoch=epoch)
        return shuffled_batches(len(train), size, seed=seed, epoch=epoch)

    def predict(self, utterances: UtteranceDataset) -> TaskLogits:
        """The logits of some utterances, in the precision of the training."""
        with self.precision.autocast():
            return predict_logits(self.network, utterances, batch_size=self.config.batch_size, device=self.device)

    def state(self) -> dict[str, Any]:
        """Everything that changes in a training, under the names of the original's checkpoint."""
        state: dict[str, Any] = {
            "model_state_dict": dict(self.network.state_dict()),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
        }
        scaler = self.precision.scaler
        return state | ({"scaler_state_dict": scaler.state_dict()} if scaler else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""
        self.network.load_state_dict(state["model_state_dict"])
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.scheduler.load_state_dict(state["scheduler_state_dict"])
        if self.precision.scaler:
            self.precision.scaler.load_state_dict(state["scaler_state_dict"])

    def _step(self, batch: Batch) -> float:
        loss = self._graphs(batch) if self._graphs else self._gradients(batch.to(self.device))
        self.precision.step(self.optimizer, self.network.parameters(), self.config.clip_norm)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDataError(
                f"the loss became {value}", "a finite number", "lower the learning rate, or look for NaN in the vectors"
            )
        return value

    def _gradients(self, batch: Batch) -> "Tensor":
        """The loss of a batch on the device; its gradients replace those of the step before."""
        # A CUDA graph writes to fixed addresses, so gradients must be zeroed in place.
        self.optimizer.zero_grad(set_to_none=self._graphs is None)
        loss = self._loss(batch)
        self.precision.backward(loss)
        return loss

    def _loss(self, batch: Batch) -> "Tensor":
        from torch.nn.functional import cross_entropy

        with self.precision.autocast():
            logits = self.network(batch.input_ids, batch.attention_mask, batch.audio)
        sentiment = cross_entropy(logits.sentiment.float(), batch.sentiment, weight=self.sentiment_weights)
        urgency = cross_entropy(logits.urgency.float(), batch.urgency, weight=self.urgency_weights)
        loss: Tensor = self.config.sentiment_weight * sentiment + self.config.urgency_weight * urgency
        return loss


def _epoch_seed(seed: int, epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\t{epoch}".encode()).digest()[:6])
