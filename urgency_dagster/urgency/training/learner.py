"""One network, its optimiser and its losses: steps and epochs. Which epochs are run and kept is `training`'s.

Source: the original pipeline. Class weights are the exception: it computed them on all rows.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.errors import TrainingDataError
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.batches import Batch, UtteranceDataset, bucketed_batches
from urgency_dagster.urgency.package.model_folder import UrgencyModel
from urgency_dagster.urgency.training.cuda_graphs import RecordedGradients

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal


def class_weights(ids: "NDArray[np.int64]", classes: int) -> "NDArray[np.float32]":
    """The balanced weight of each class, float32, (K,): rows / (classes present x rows of the class).

    A class without rows gets 0; no loss is ever multiplied by it.
    """
    counts = np.bincount(ids, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(ids) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


class Learner:
    """A network with its optimiser, its schedule and the class weights of the training side.

    Args:
        model: its network moves to the accelerator's device.
        train: the training side.
        config: the hyper-parameters.
        accelerator: where to compute, and in which precision; see `devices.accelerator_on`.
    """

    def __init__(
        self, model: UrgencyModel, train: UtteranceDataset, config: TrainingConfig, accelerator: "Accelerator"
    ) -> None:
        import torch
        from torch.optim.lr_scheduler import CosineAnnealingLR

        self.config = config
        self.accelerator = accelerator
        self.device = device = str(accelerator.device)
        optimizer = torch.optim.AdamW(
            model.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.scheduler: LRScheduler = CosineAnnealingLR(
            optimizer, T_max=config.epochs, eta_min=config.min_learning_rate
        )
        self.network: KoElectraCrossModal
        self.optimizer: Optimizer
        self.network, self.optimizer = accelerator.prepare(model.network, optimizer)
        urgency = class_weights(train.urgency, model.config.urgency_classes)
        sentiment = class_weights(train.sentiment, model.config.sentiment_classes)
        self.urgency_weights = torch.from_numpy(urgency).to(device)
        self.sentiment_weights = torch.from_numpy(sentiment).to(device)
        on_cuda = accelerator.device.type == "cuda"
        self._recorded = RecordedGradients(self._gradients, device, model.max_length) if on_cuda else None

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def epoch(self, train: UtteranceDataset, epoch: int) -> Iterator[float]:
        """Trains one epoch; yields the loss of each step.

        What is random depends on the seed and the epoch alone, so that an epoch is the same after an interruption.
        """
        import torch

        config = self.config
        torch.manual_seed(_epoch_seed(config.seed, epoch))
        self.network.train()
        for indices in bucketed_batches(train.lengths, config.batch_size, seed=config.seed, epoch=epoch):
            yield self._step(train[indices])

    def state(self) -> dict[str, Any]:
        """All that changes in a training, under the names of the original's checkpoint."""
        state: dict[str, Any] = {
            "model_state_dict": dict(self.network.state_dict()),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
        }
        scaler = self.accelerator.scaler  # of the gradients, in fp16 only
        return state | ({"scaler_state_dict": scaler.state_dict()} if scaler else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self.network.load_state_dict(state["model_state_dict"])
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.scheduler.load_state_dict(state["scheduler_state_dict"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler_state_dict"])

    def finished_network(self) -> "KoElectraCrossModal":
        """The network itself, which computes in float32 again."""
        network: KoElectraCrossModal = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
        return network

    def _step(self, batch: Batch) -> float:
        loss = self._recorded(batch) if self._recorded else self._gradients(batch.to(self.device))
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDataError(
                f"the loss became {value}", "a finite number", "lower the learning rate, or look for NaN in the vectors"
            )
        return value

    def _gradients(self, batch: Batch) -> "Tensor":
        """The loss of a batch on the device, after putting its gradients in the place of those before."""
        # What is recorded writes where the gradients were at the time.
        self.optimizer.zero_grad(set_to_none=self._recorded is None)
        loss = self._loss(batch)
        self.accelerator.backward(loss)
        return loss

    def _loss(self, batch: Batch) -> "Tensor":
        from torch.nn.functional import cross_entropy

        logits = self.network(batch.input_ids, batch.attention_mask, batch.audio)
        sentiment = cross_entropy(logits.sentiment, batch.sentiment, weight=self.sentiment_weights)
        urgency = cross_entropy(logits.urgency, batch.urgency, weight=self.urgency_weights)
        return self.config.sentiment_weight * sentiment + self.config.urgency_weight * urgency


def _epoch_seed(seed: int, epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\t{epoch}".encode()).digest()[:6])
