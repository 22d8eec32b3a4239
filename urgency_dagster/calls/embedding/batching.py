"""Segments of any length through an encoder: split into pieces, batched by length, retried when memory runs out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.encoder import Observer, Piece, unobserved
from urgency_dagster.errors import DeviceMemoryError

if TYPE_CHECKING:
    import numpy as np

    from urgency_dagster.calls.embedding.encoder import Encoder


@dataclass
class Budget:
    """The maximum audio in one batch, padding included. It is halved when the device runs out of memory.

    Attributes:
        audio_s: seconds of audio.
    """

    audio_s: float

    @property
    def samples(self) -> int:
        """The same in samples."""
        return int(self.audio_s * SAMPLE_RATE)

    def halve(self, longest: int) -> None:
        """Halves the size of the next batches.

        Args:
            longest: samples of the longest piece that is not embedded yet.

        Raises:
            DeviceMemoryError: that piece was already in a batch of its own.
        """
        if self.samples <= longest:
            raise DeviceMemoryError(
                f"the device has no memory for {longest / SAMPLE_RATE:.1f} s of audio",
                "memory for one segment",
                "free memory on the device, lower `segment_max_s`, or choose another `device`",
            )
        self.audio_s /= 2


def pieces_of(
    segments: "Sequence[np.ndarray]", max_samples: int, frames: Callable[[int], int], audio_tokens: int = 1
) -> Iterator[Piece]:
    """Splits segments longer than `max_samples` into the smallest number of equal pieces.

    Args:
        segments: waveforms.
        max_samples: maximum samples of a piece.
        frames: returns the number of frames that the model makes of a number of samples.
        audio_tokens: vectors of a segment. Its frames are those of its pieces, concatenated.
    """
    for position, segment in enumerate(segments):
        count = max(1, -(-len(segment) // max_samples))
        bounds = equal_spans(len(segment), count)
        parts = [segment[start:end] for start, end in pairwise(bounds)]
        starts = [0, *accumulate(frames(len(part)) for part in parts)]
        weights = span_weights(starts[-1], audio_tokens)
        for part, offset, (start, end) in zip(parts, bounds[:-1], pairwise(starts), strict=True):
            yield Piece(position, part, (end - start) / starts[-1], weights[:, start:end], offset)


def equal_spans(length: int, count: int) -> list[int]:
    """The `count` + 1 bounds of spans that cover `length`. Their lengths differ by at most one."""
    return [length * span // count for span in range(count + 1)]


def span_weights(frames: int, audio_tokens: int) -> "np.ndarray":
    """The weights whose sum over the frames is the mean of each span: float32 of shape (T, frames).

    Args:
        frames: frames of a segment, at least one per span.
        audio_tokens: the number of spans, T.
    """
    import numpy as np

    weights = np.zeros((audio_tokens, frames), dtype=np.float32)
    for span, (start, end) in enumerate(pairwise(equal_spans(frames, audio_tokens))):
        weights[span, start:end] = 1 / (end - start)
    return weights


def batches(lengths: Sequence[int], max_samples: int, can_pad: bool) -> Iterator[list[int]]:
    """Yields batches of positions, from the longest to the shortest.

    A batch holds at most `max_samples` samples after padding to its longest piece. A longer piece has a batch of its
    own. If the model cannot be padded, only pieces of equal length share a batch.
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


def no_report(segments: float, audio_s: float) -> None:
    """Ignores the progress."""


def embed_segments(
    encoder: "Encoder",
    segments: "Sequence[np.ndarray]",
    segment_max_s: float,
    budget: Budget,
    report: Callable[[float, float], None] = no_report,
    audio_tokens: int = 1,
    observe: Observer = unobserved,
) -> "np.ndarray":
    """The vectors of segments, in order, the T vectors of a segment side by side: float32 of shape (N, T * D).

    Args:
        encoder: embeds one batch.
        segments: normalised waveforms, see `SpeechModel.normalised`.
        segment_max_s: maximum seconds in one forward pass. A longer segment is split, and its frames are pooled as if
            they came from one pass.
        budget: the batch size; it stays halved after the device ran out of memory.
        report: receives the segments and the seconds of audio of each finished batch.
        audio_tokens: vectors per segment, T: the means over this many equal spans of its frames.
        observe: receives each batch with its frames; again, if the device ran out of memory in between.

    Raises:
        ModelError: the device has no memory for one piece.
    """
    import numpy as np
    import torch

    pieces = list(pieces_of(segments, int(segment_max_s * SAMPLE_RATE), encoder.speech.frames, audio_tokens))
    vectors = np.zeros((len(segments), audio_tokens, encoder.speech.width), dtype=np.float32)
    remaining = dict(enumerate(pieces))
    while remaining:
        try:
            for batch, sums in _embedded(encoder, remaining, budget, observe):
                for number, piece_sums in zip(batch, sums, strict=True):
                    vectors[remaining.pop(number).segment] += piece_sums
                done = [pieces[number] for number in batch]
                report(sum(p.share for p in done), sum(len(p.waveform) for p in done) / SAMPLE_RATE)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            budget.halve(max(len(piece.waveform) for piece in remaining.values()))
    return vectors.reshape(len(segments), audio_tokens * encoder.speech.width)


def _embedded(
    encoder: "Encoder", remaining: dict[int, Piece], budget: Budget, observe: Observer
) -> "Iterator[tuple[list[int], np.ndarray]]":
    """Yields the piece numbers and the vectors of each batch of the remaining pieces."""
    numbers, pieces = list(remaining), list(remaining.values())
    planned = list(batches([len(piece.waveform) for piece in pieces], budget.samples, encoder.speech.can_pad))
    embedded = encoder.vectors(([pieces[position] for position in batch] for batch in planned), observe)
    for batch, vectors in zip(planned, embedded, strict=True):
        yield [numbers[position] for position in batch], vectors
