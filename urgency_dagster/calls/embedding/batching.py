"""Many segments of any length through an encoder: pieces, batches by length, and what to do when memory runs out.

What each frame of a segment counts in its vectors is decided here too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.encoder import Piece
from urgency_dagster.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from urgency_dagster.calls.embedding.encoder import Encoder


@dataclass
class Budget:
    """How much audio a batch may hold, padding included; it shrinks when a device runs out of memory.

    Attributes:
        audio_s: seconds of audio.
    """

    audio_s: float

    @property
    def samples(self) -> int:
        """The same in samples."""
        return int(self.audio_s * SAMPLE_RATE)

    def halve(self, longest: int) -> None:
        """Makes the next batches half as large.

        Args:
            longest: samples of the longest piece that is left.

        Raises:
            ModelError: a batch of that piece alone was too large already.
        """
        if self.samples <= longest:
            raise ModelError(
                f"the device has no memory for {longest / SAMPLE_RATE:.1f} s of audio",
                "room for one segment",
                "free the device, lower `segment_max_s`, or choose another `device`",
            )
        self.audio_s /= 2


def pieces_of(
    segments: "Sequence[np.ndarray]", max_samples: int, frames: Callable[[int], int], audio_tokens: int = 1
) -> Iterator[Piece]:
    """The segments, those longer than `max_samples` in as few equal parts as may be.

    Args:
        segments: waveforms.
        max_samples: of a piece.
        frames: how many the model makes of so many samples.
        audio_tokens: vectors of a segment, whose frames are those of its pieces one after another.
    """
    for position, segment in enumerate(segments):
        count = max(1, -(-len(segment) // max_samples))
        bounds = equal_spans(len(segment), count)
        parts = [segment[start:end] for start, end in pairwise(bounds)]
        starts = [0, *accumulate(frames(len(part)) for part in parts)]
        weights = span_weights(starts[-1], audio_tokens)
        for part, (start, end) in zip(parts, pairwise(starts), strict=True):
            yield Piece(position, part, (end - start) / starts[-1], weights[:, start:end])


def equal_spans(length: int, count: int) -> list[int]:
    """The `count` + 1 bounds of spans that cover `length` and differ by one at most."""
    return [length * span // count for span in range(count + 1)]


def span_weights(frames: int, audio_tokens: int) -> "np.ndarray":
    """The weights whose sum over frames is the mean of each span: float32 of shape (T, frames).

    Args:
        frames: of a segment, at least as many as spans.
        audio_tokens: the number of spans, T.
    """
    import numpy as np

    weights = np.zeros((audio_tokens, frames), dtype=np.float32)
    for span, (start, end) in enumerate(pairwise(equal_spans(frames, audio_tokens))):
        weights[span, start:end] = 1 / (end - start)
    return weights


def batches(lengths: Sequence[int], max_samples: int, can_pad: bool) -> Iterator[list[int]]:
    """Positions grouped so that a batch, padded to its longest, holds at most `max_samples` samples.

    One that is longer than that is a batch of its own. Without padding only equal lengths share a batch.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = batch and (len(batch) + 1) * lengths[batch[0]] > max_samples
        if batch and (full or (not can_pad and lengths[position] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def unheard(segments: float, audio_s: float) -> None:
    """Ignores what was embedded."""


def embed_segments(
    encoder: "Encoder",
    segments: "Sequence[np.ndarray]",
    segment_max_s: float,
    budget: Budget,
    embedded: Callable[[float, float], None] = unheard,
    audio_tokens: int = 1,
) -> "np.ndarray":
    """The vectors of many segments in their order, those of a segment one after another: float32 of shape (N, T * D).

    A segment longer than `segment_max_s` is embedded in parts, whose frames are pooled as if they were of one.

    Args:
        encoder: what embeds a batch.
        segments: as `SpeechModel.normalised` gives them.
        segment_max_s: seconds that the model sees at once.
        budget: of a batch; it is halved, and stays so, whenever the device runs out of memory.
        embedded: told after each batch how many segments and seconds of audio were embedded.
        audio_tokens: vectors of a segment, T: the means over so many equal spans of its frames.

    Raises:
        ModelError: the device has no memory even for one piece.
    """
    import numpy as np
    import torch

    pieces = list(pieces_of(segments, int(segment_max_s * SAMPLE_RATE), encoder.speech.frames, audio_tokens))
    vectors = np.zeros((len(segments), audio_tokens, encoder.speech.width), dtype=np.float32)
    left = dict(enumerate(pieces))
    while left:
        try:
            for batch, found in _embedded(encoder, left, budget):
                for number, of_piece in zip(batch, found, strict=True):
                    vectors[left.pop(number).segment] += of_piece
                done = [pieces[number] for number in batch]
                embedded(sum(p.share for p in done), sum(len(p.waveform) for p in done) / SAMPLE_RATE)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            budget.halve(max(len(piece.waveform) for piece in left.values()))
    return vectors.reshape(len(segments), audio_tokens * encoder.speech.width)


def _embedded(encoder: "Encoder", left: dict[int, Piece], budget: Budget) -> "Iterator[tuple[list[int], np.ndarray]]":
    """The numbers and the vectors of each batch of the pieces that are left now."""
    numbers, pieces = list(left), list(left.values())
    planned = list(batches([len(piece.waveform) for piece in pieces], budget.samples, encoder.speech.can_pad))
    found = encoder.vectors([pieces[position] for position in batch] for batch in planned)
    for batch, vectors in zip(planned, found, strict=True):
        yield [numbers[position] for position in batch], vectors
