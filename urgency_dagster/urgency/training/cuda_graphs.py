"""CUDA graphs of a training step: the kernels of a batch shape are captured once and replayed.

Utterances are short, so launching the kernels of a batch takes several times as long as running them.
Measured on an H200: a step of 16 utterances took 45 ms, as a CUDA graph 13 ms.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from urgency_dagster.urgency.data.batches import Batch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.cuda import CUDAGraph

LENGTH_STEP = 8
"""Batches are padded to a multiple of this number of tokens, so that few shapes are captured."""

WARM_UPS = 3
"""Passes before a capture, in which libraries choose kernels and allocate memory.

Source: PyTorch's notes on CUDA graphs.
"""


class CapturedBatch(NamedTuple):
    """The CUDA graph of one batch shape, the batch that it reads, and the loss that it writes."""

    graph: "CUDAGraph"
    batch: Batch
    loss: "Tensor"


class CudaGraphGradients:
    """Losses and gradients of batches by CUDA graphs, which share one memory pool and run one after another.

    Random numbers continue from the device's generator, as they do without a graph.

    Args:
        gradients: writes the gradients of a batch on the device and returns the loss. It is captured, so the tensors
            of the gradients must keep their addresses.
        device: a CUDA device.
        max_length: maximum number of tokens of a batch.
    """

    def __init__(self, gradients: "Callable[[Batch], Tensor]", device: str, max_length: int) -> None:
        import torch

        self._gradients, self._device, self._max_length = gradients, torch.device(device), max_length
        self._captured: dict[tuple[int, ...], CapturedBatch] = {}
        self._memory = torch.cuda.graph_pool_handle()

    def __call__(self, batch: Batch) -> "Tensor":
        """The loss of a batch, of shape (); the next call overwrites it. The gradients keep their addresses."""
        padded = batch.padded(LENGTH_STEP, self._max_length)
        shape = tuple(padded.input_ids.shape)
        if shape not in self._captured:
            self._captured[shape] = self._capture(padded.to(str(self._device)))
        captured = self._captured[shape]
        for target, source in zip(captured.batch, padded, strict=True):
            target.copy_(source)
        captured.graph.replay()
        return captured.loss

    def _capture(self, batch: Batch) -> CapturedBatch:
        import torch

        # A resumed training meets the shapes in another order, so a capture must not use up random numbers.
        with torch.random.fork_rng(devices=[self._device]):
            self._warm_up(batch)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._memory):
                loss = self._gradients(batch).detach()
        return CapturedBatch(graph, batch, loss)

    def _warm_up(self, batch: Batch) -> None:
        import torch

        side_stream: torch.cuda.Stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        main_stream = torch.cuda.current_stream(self._device)
        side_stream.wait_stream(main_stream)
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UPS):
                self._gradients(batch)
        main_stream.wait_stream(side_stream)
