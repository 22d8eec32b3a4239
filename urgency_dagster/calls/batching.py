"""Many segments of any length through an encoder: pieces, batches by length, and what to do when memory runs out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from urgency_dagster.calls.encoders import Encoder


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


@dataclass(frozen=True)
class Piece:
    """A part of a segment that the model sees at once; nearly always all of it.

    Attributes:
        segment: the position of the segment.
        waveform: float32 of shape (samples,).
        share: of the segment's frames that are in this piece.
    """

    segment: int
    waveform: "np.ndarray"
    share: float


def pieces_of(segments: "Sequence[np.ndarray]", samples_max: int, frames: Callable[[int], int]) -> Iterator[Piece]:
    """The segments, those longer than `samples_max` in as few equal parts as may be."""
    for position, segment in enumerate(segments):
        count = max(1, -(-len(segment) // samples_max))
        bounds = [len(segment) * part // count for part in range(count + 1)]
        parts = [segment[start:end] for start, end in pairwise(bounds)]
        total = sum(frames(len(part)) for part in parts)
        for part in parts:
            yield Piece(position, part, frames(len(part)) / total)


def batches(lengths: Sequence[int], samples_max: int, can_pad: bool) -> Iterator[list[int]]:
    """Positions grouped so that a batch, padded to its longest, holds at most `samples_max` samples.

    One that is longer than that is a batch of its own. Without padding only equal lengths share a batch.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = batch and (len(batch) + 1) * lengths[batch[0]] > samples_max
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
) -> "np.ndarray":
    """The vectors of many segments in their order: float32 of shape (N, D).

    A segment longer than `segment_max_s` is embedded in parts whose vectors are averaged by their frames.

    Args:
        encoder: what embeds a batch.
        segments: as `SpeechModel.normalised` gives them.
        segment_max_s: seconds that the model sees at once.
        budget: of a batch; it is halved, and stays so, whenever the device runs out of memory.
        embedded: told after each batch how many segments and seconds of audio were embedded.

    Raises:
        ModelError: the device has no memory even for one piece.
    """
    import numpy as np
    import torch

    pieces = list(pieces_of(segments, int(segment_max_s * SAMPLE_RATE), encoder.speech.frames))
    vectors = np.zeros((len(segments), encoder.speech.width), dtype=np.float32)
    left = dict(enumerate(pieces))
    while left:
        try:
            for batch, found in _embedded(encoder, left, budget):
                for number, vector in zip(batch, found, strict=True):
                    piece = left.pop(number)
                    vectors[piece.segment] += vector * np.float32(piece.share)
                done = [pieces[number] for number in batch]
                embedded(sum(p.share for p in done), sum(len(p.waveform) for p in done) / SAMPLE_RATE)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            budget.halve(max(len(piece.waveform) for piece in left.values()))
    return vectors


def _embedded(encoder: "Encoder", left: dict[int, Piece], budget: Budget) -> "Iterator[tuple[list[int], np.ndarray]]":
    """The numbers and the vectors of each batch of the pieces that are left now."""
    numbers, waveforms = list(left), [piece.waveform for piece in left.values()]
    planned = list(batches([len(waveform) for waveform in waveforms], budget.samples, encoder.speech.can_pad))
    found = encoder.vectors([waveforms[position] for position in batch] for batch in planned)
    for batch, vectors in zip(planned, found, strict=True):
        yield [numbers[position] for position in batch], vectors
