"""What the CTC head of a speech model says of each frame, from the forward pass that makes the vectors."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.encoder import Piece
from urgency_dagster.calls.embedding.speech_model import SpeechModel

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FrameTokens:
    """The most likely token of each frame of a segment.

    Attributes:
        ids: token ids of the CTC head, int64 of shape (F,).
        start_ms: start of each frame in milliseconds from the start of the segment, float64 of shape (F,).
        frame_ms: length of a frame in milliseconds.
    """

    ids: "np.ndarray"
    start_ms: "np.ndarray"
    frame_ms: float


class TokenReader:
    """Reads the tokens of some segments while they are embedded.

    Args:
        speech: the model, with its CTC head.
    """

    def __init__(self, speech: SpeechModel) -> None:
        self._speech = speech
        # By segment and by the start of the piece: a batch that is tried again replaces its own tokens only.
        self._tokens: defaultdict[int, dict[int, np.ndarray]] = defaultdict(dict)

    def read(self, batch: Sequence[Piece], hidden: Any) -> None:
        """Reads a batch, see `encoder.Observer`."""
        import torch

        states = torch.as_tensor(hidden)
        head = self._speech.head.to(states.device)
        with torch.inference_mode():
            tokens = head(states.float()).argmax(dim=-1).cpu().numpy()
        for piece, ids in zip(batch, tokens, strict=True):
            self._tokens[piece.segment][piece.start] = ids[: piece.weights.shape[1]]

    def tokens(self, segment: int) -> FrameTokens:
        """The tokens of an embedded segment."""
        import numpy as np

        pieces = sorted(self._tokens[segment].items())
        stride = self._speech.stride
        starts = [start + stride * np.arange(len(ids)) for start, ids in pieces]
        milliseconds = np.concatenate(starts) * (1000 / SAMPLE_RATE)
        return FrameTokens(np.concatenate([ids for _, ids in pieces]), milliseconds, stride * 1000 / SAMPLE_RATE)
