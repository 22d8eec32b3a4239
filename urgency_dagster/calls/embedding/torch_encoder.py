"""Encoders in torch: any precision on any device, and the float32 reference."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from urgency_dagster.calls.embedding.encoder import (
    CPU_BATCH_S,
    FLOAT32,
    GPU_BATCH_S,
    TORCH,
    Observer,
    Piece,
    padded_weights,
    unobserved,
)
from urgency_dagster.calls.embedding.speech_model import SpeechModel, pooled
from urgency_dagster.devices import full_float32

if TYPE_CHECKING:
    import numpy as np
    import torch


class TorchEncoder:
    """The model in torch. On CUDA, the next batch is copied while the current one is computed.

    Args:
        speech: the model. In float32 its own network moves to the device; otherwise a copy does.
        device: a torch device.
        precision: of weights and arithmetic.
        compiled: whether torch compiles the network.
    """

    engine = TORCH

    def __init__(
        self, speech: SpeechModel, device: str = "cpu", precision: str = FLOAT32, *, compiled: bool = False
    ) -> None:
        import torch

        self.speech, self.device, self.precision = speech, device, precision
        self.batch_audio_s = CPU_BATCH_S if device == "cpu" else GPU_BATCH_S
        self._dtype: torch.dtype = getattr(torch, precision)
        network = speech.network if precision == FLOAT32 else deepcopy(speech.network)
        network.to(device, self._dtype)
        self._network = torch.compile(network, dynamic=True) if compiled else network
        self._asynchronous = device.startswith("cuda")

    def vectors(self, batches: Iterable[Sequence[Piece]], observe: Observer = unobserved) -> "Iterator[np.ndarray]":
        """See `Encoder.vectors`."""
        running: deque[tuple[torch.Tensor, torch.cuda.Event | None]] = deque()
        for batch in batches:
            running.append(self._start(batch, observe))
            if len(running) > self._asynchronous:
                yield _finished(*running.popleft())
        while running:
            yield _finished(*running.popleft())

    def _start(self, batch: Sequence[Piece], observe: Observer) -> "tuple[torch.Tensor, torch.cuda.Event | None]":
        """Starts a batch; returns its vectors on the host, and the event after which they are valid."""
        import torch

        inputs = {name: self._in_precision(self._on_device(tensor)) for name, tensor in self._inputs(batch).items()}
        weights = self._on_device(torch.from_numpy(padded_weights(batch)))
        with torch.inference_mode(), full_float32():
            hidden = self._network(**inputs).last_hidden_state
            observe(batch, hidden)
            sums = pooled(hidden, weights)
        if not self._asynchronous:
            return sums.cpu(), None
        vectors = torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True).copy_(sums, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return vectors, event

    def _inputs(self, batch: Sequence[Piece]) -> "dict[str, torch.Tensor]":
        return self.speech.padded([piece.waveform for piece in batch])

    def _on_device(self, tensor: "torch.Tensor") -> "torch.Tensor":
        host = tensor.pin_memory() if self._asynchronous else tensor
        return host.to(self.device, non_blocking=True)

    def _in_precision(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """The waveforms in the model's precision; the attention mask is not changed."""
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


class ReferenceEncoder(TorchEncoder):
    """The reference: torch in float32, batches of one piece without padding and without attention mask."""

    def _inputs(self, batch: Sequence[Piece]) -> "dict[str, torch.Tensor]":
        import torch

        (piece,) = batch
        return {"input_values": torch.from_numpy(piece.waveform)[None]}


def _finished(vectors: "torch.Tensor", event: "torch.cuda.Event | None") -> "np.ndarray":
    if event is not None:
        event.synchronize()
    finished: np.ndarray = vectors.numpy()
    return finished
