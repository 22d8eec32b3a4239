"""The interface of all encoders: pieces of segments in, weighted sums of frames out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from urgency_dagster.calls.embedding.speech_model import SpeechModel

if TYPE_CHECKING:
    import numpy as np

TORCH, OPENVINO = "torch", "openvino"

FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"

CPU_BATCH_S = 8.0
"""Seconds of audio in one batch on a CPU.

Measured: with smaller batches the matrix products are too small, with larger ones the data no longer fits the caches.
"""

GPU_BATCH_S = 320.0
"""Seconds of audio in one batch on other devices. Measured on an H200: 640 s is not faster than 320 s."""


@dataclass(frozen=True)
class Piece:
    """The part of a segment in one forward pass. Only a segment longer than `segment_max_s` has several pieces.

    Attributes:
        segment: the index of the segment.
        waveform: float32 of shape (samples,).
        share: the share of the segment's frames in this piece, from 0 to 1.
        weights: the weight of each frame of the piece in each vector of the segment, float32 of shape (T, frames). The
            vectors of a segment are the sums over its pieces.
        start: samples of the segment before the piece.
    """

    segment: int
    waveform: "np.ndarray"
    share: float
    weights: "np.ndarray"
    start: int = 0


Observer = Callable[[Sequence[Piece], Any], None]
"""Receives a batch and its frames before they are pooled: the last hidden state, an array or tensor of shape (B, F, D).

It must not keep the frames, and can be called from another thread.
"""


def unobserved(batch: Sequence[Piece], hidden: Any) -> None:
    """Ignores the frames."""


class Encoder(Protocol):
    """A speech model that is ready to embed batches.

    Attributes:
        speech: the model.
        engine: the library, `torch` or `openvino`.
        precision: of the arithmetic, `float32`, `bfloat16` or `float16`.
        device: the device of the model.
        batch_audio_s: the default seconds of audio in one batch.
    """

    speech: SpeechModel
    engine: str
    precision: str
    device: str
    batch_audio_s: float

    def vectors(self, batches: Iterable[Sequence[Piece]], observe: Observer = unobserved) -> "Iterator[np.ndarray]":
        """Yields the weighted sums of the frames of each batch, in order. Later batches may already be running.

        Args:
            batches: pieces with normalised waveforms; of equal length if the model cannot be padded.
            observe: receives each batch with its frames.

        Returns:
            For each batch the contribution of each piece to its segment, float32 of shape (B, T, D).
        """


def padded_weights(pieces: Sequence[Piece]) -> "np.ndarray":
    """The weights of a batch, 0 after the last frame of each piece: float32 of shape (B, T, frames of the longest)."""
    import numpy as np

    tokens, max_frames = len(pieces[0].weights), max(piece.weights.shape[1] for piece in pieces)
    weights = np.zeros((len(pieces), tokens, max_frames), dtype=np.float32)
    for row, piece in zip(weights, pieces, strict=True):
        row[:, : piece.weights.shape[1]] = piece.weights
    return weights
