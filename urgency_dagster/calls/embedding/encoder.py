"""What every encoder takes and gives: pieces of segments, and their weighted sums."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from urgency_dagster.calls.embedding.speech_model import SpeechModel

if TYPE_CHECKING:
    import numpy as np


TORCH, OPENVINO = "torch", "openvino"


FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"


CPU_BATCH_S = 8.0
"""Seconds of audio in one batch on a CPU. Measured: less leaves the matrix products small, more leaves the caches."""


GPU_BATCH_S = 320.0
"""Seconds of audio in one batch elsewhere. Measured on an H200: up to 320 s more is faster, 640 s gains nothing."""


@dataclass(frozen=True)
class Piece:
    """A part of a segment that the model sees at once; nearly always all of it.

    Attributes:
        segment: the position of the segment.
        waveform: float32 of shape (samples,).
        share: of the segment's frames that are in this piece.
        weights: what each frame of the piece counts in each vector of the segment, float32 of shape (T, frames). What
            the pieces of a segment come to is added.
    """

    segment: int
    waveform: "np.ndarray"
    share: float
    weights: "np.ndarray"


class Encoder(Protocol):
    """A speech model ready to embed batches.

    Attributes:
        speech: the model.
        engine: the library, one of ENGINES.
        precision: of the arithmetic, one of PRECISIONS.
        device: where it runs.
        batch_audio_s: seconds of audio in one batch that suit the device.
    """

    speech: SpeechModel
    engine: str
    precision: str
    device: str
    batch_audio_s: float

    def vectors(self, batches: Iterable[Sequence[Piece]]) -> "Iterator[np.ndarray]":
        """The weighted sums of the frames of each batch in order, while later batches are at work.

        Args:
            batches: pieces of what `SpeechModel.normalised` gives; of one length if the model cannot be padded.

        Returns:
            What each piece adds to the vectors of its segment, float32 of shape (B, T, D).
        """


def padded_weights(pieces: Sequence[Piece]) -> "np.ndarray":
    """The weights of a batch, 0 beyond the frames of each piece: float32 of shape (B, T, frames of the longest)."""
    import numpy as np

    tokens, longest = len(pieces[0].weights), max(piece.weights.shape[1] for piece in pieces)
    weights = np.zeros((len(pieces), tokens, longest), dtype=np.float32)
    for row, piece in zip(weights, pieces, strict=True):
        row[:, : piece.weights.shape[1]] = piece.weights
    return weights
