"""The logits of utterances, without gradients, and their mean over each call.

Training, evaluation and the predictor share these functions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.urgency.data.batches import Inputs, batches_in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal


class Utterances(Protocol):
    """N utterances that are read by batch."""

    def __len__(self) -> int:
        """The number of utterances."""

    def inputs(self, indices: "NDArray[np.int64]") -> Inputs:
        """The inputs of the network for the utterances at `indices`, int64, (B,)."""


@dataclass(frozen=True)
class TaskLogits:
    """The logits of N utterances or calls.

    Attributes:
        urgency: float32, (N, U).
        sentiment: float32, (N, S).
    """

    urgency: "NDArray[np.float32]"
    sentiment: "NDArray[np.float32]"


def predict_logits(
    network: "KoElectraCrossModal",
    utterances: Utterances,
    *,
    batch_size: int,
    device: str,
    progress: Progress = no_progress,
) -> TaskLogits:
    """The logits of every utterance, in their order; the network is left in evaluation mode.

    Args:
        network: the network, already on `device`.
        utterances: the utterances.
        batch_size: utterances per forward pass.
        device: a torch device.
        progress: called with the number of utterances done.
    """
    import torch

    network.eval()
    urgency, sentiment = [], []
    done = 0
    with torch.inference_mode():
        for indices in batches_in_order(len(utterances), batch_size):
            logits = network(*utterances.inputs(indices).to(device))
            urgency.append(logits.urgency.float().cpu().numpy())
            sentiment.append(logits.sentiment.float().cpu().numpy())
            done += len(indices)
            progress(done, len(utterances))
    return TaskLogits(np.concatenate(urgency), np.concatenate(sentiment))


def mean_by_call(logits: TaskLogits, calls: "NDArray[np.int64]") -> TaskLogits:
    """The mean logits of each call; `calls` are ids 0 to C - 1, (N,)."""
    counts = np.bincount(calls)[:, None]

    def mean(scores: "NDArray[np.float32]") -> "NDArray[np.float32]":
        sums = np.zeros((len(counts), scores.shape[1]))
        np.add.at(sums, calls, scores)
        return (sums / counts).astype(np.float32)

    return TaskLogits(mean(logits.urgency), mean(logits.sentiment))


class RunningMean:
    """The mean logits of a call in progress. It keeps sums, whatever the length of the call.

    Attributes:
        count: number of utterances so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._urgency = self._sentiment = np.zeros(1)

    def add(self, logits: TaskLogits) -> None:
        """Adds the logits of the next utterances."""
        self.count += len(logits.urgency)
        self._urgency = self._urgency + logits.urgency.sum(axis=0, dtype=np.float64)
        self._sentiment = self._sentiment + logits.sentiment.sum(axis=0, dtype=np.float64)

    @property
    def logits(self) -> TaskLogits:
        """The mean so far as one row, as `mean_by_call` gives it for the same utterances; there is at least one."""
        urgency, sentiment = ((sums / self.count).astype(np.float32)[None] for sums in (self._urgency, self._sentiment))
        return TaskLogits(urgency, sentiment)
