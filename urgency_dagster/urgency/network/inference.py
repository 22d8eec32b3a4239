"""Running a network over utterances without gradients, and the mean over each call.

Training and evaluation both judge through it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.progress import Progress, silent
from urgency_dagster.urgency.data.batches import UtteranceDataset, batches_in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal


@dataclass(frozen=True)
class TaskLogits:
    """The logits of N utterances or calls, float32: urgency (N, U), sentiment (N, S)."""

    urgency: "NDArray[np.float32]"
    sentiment: "NDArray[np.float32]"


def predict_logits(
    network: "KoElectraCrossModal",
    dataset: UtteranceDataset,
    *,
    batch_size: int,
    device: str,
    progress: Progress = silent,
) -> TaskLogits:
    """The logits of every utterance, in the order of the dataset; the network is left in evaluation mode.

    Args:
        network: the network, already on `device`.
        dataset: the utterances.
        batch_size: utterances per forward pass.
        device: where to compute.
        progress: told the utterances done so far.
    """
    import torch

    network.eval()
    urgency, sentiment = [], []
    done = 0
    with torch.inference_mode():
        for indices in batches_in_order(len(dataset), batch_size):
            batch = dataset[indices].to(device)
            logits = network(batch.input_ids, batch.attention_mask, batch.audio)
            urgency.append(logits.urgency.float().cpu().numpy())
            sentiment.append(logits.sentiment.float().cpu().numpy())
            done += len(indices)
            progress(done, len(dataset))
    return TaskLogits(np.concatenate(urgency), np.concatenate(sentiment))


def mean_by_call(logits: TaskLogits, calls: "NDArray[np.int64]") -> TaskLogits:
    """The mean logits of each call; `calls` are ids 0 to C - 1, (N,)."""
    counts = np.bincount(calls)[:, None]

    def mean(scores: "NDArray[np.float32]") -> "NDArray[np.float32]":
        sums = np.zeros((len(counts), scores.shape[1]))
        np.add.at(sums, calls, scores)
        return (sums / counts).astype(np.float32)

    return TaskLogits(mean(logits.urgency), mean(logits.sentiment))
