"""Choosing the encoder of an archive: the fastest one whose vectors of a sample pass the verification."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.batching import Budget, embed_segments
from urgency_dagster.calls.embedding.choice import EncoderChoice, encoders
from urgency_dagster.calls.embedding.configuration import NEVER, EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import FLOAT32, Encoder
from urgency_dagster.calls.embedding.speech_model import SpeechModel
from urgency_dagster.calls.embedding.torch_encoder import ReferenceEncoder
from urgency_dagster.calls.embedding.verification import MIN_UTTERANCES_FOR_COSINE, sample_rows, verify
from urgency_dagster.calls.segments import decoded_segments
from urgency_dagster.calls.table.intervals import MIN_DURATION_MS
from urgency_dagster.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class PreparedEncoder:
    """The encoder of an archive, and the sample that it was verified on.

    Attributes:
        encoder: the encoder.
        sample: row numbers of the utterance table, ascending.
        reference: the reference vectors of the sample, float32 of shape (rows of the sample, T * D).
    """

    encoder: Encoder
    sample: Sequence[int]
    reference: "np.ndarray"


def prepare_encoder(
    root: Path,
    rows: pa.Table,
    speech: SpeechModel,
    config: EmbeddingConfig,
    former: EncoderChoice | None = None,
    converted: Path | None = None,
) -> PreparedEncoder:
    """Chooses the encoder of an archive.

    The candidates are tried from the fastest to the slowest. The first one that passes the verification is chosen. If
    none does, they are tried without padding. The model itself is not timed, so that every run on one machine chooses
    the same encoder.

    Args:
        root: the storage root.
        rows: rows of the utterance table.
        speech: the speech model.
        config: the options.
        former: the choice of the former embedding, which is tried first.
        converted: the folder in which the model converted by OpenVINO is kept.

    Raises:
        AudioError: a recording of the sample is missing.
        ModelError: the device has no memory for one segment.
        SettingsError: the device, engine or precision is not available here, or an utterance has fewer frames than
            `audio_tokens`.
    """
    check_tokens(speech, config.audio_tokens)
    small = rows.num_rows < MIN_UTTERANCES_FOR_COSINE
    options = config.changed(precision=FLOAT32) if small else config
    if config.padding == NEVER or (former and not former.padded):
        speech = speech.unpadded()
    candidates = encoders(speech, options, former, converted)
    encoder = next(candidates)
    sample = sample_rows(rows.num_rows, config.proof_utterances, seed=rows.num_rows)
    segments = _sample_segments(root, rows, sample, speech)
    reference = reference_vectors(speech, encoder.device, segments, config)
    unpadded = encoders(speech.unpadded(), options, former, converted) if speech.can_pad else ()
    for tried in chain([encoder], candidates, unpadded):
        if _passes(tried, segments, reference, config):
            return PreparedEncoder(tried, sample, reference)
        if tried.speech.may_pad == speech.may_pad:  # if nothing passes, padding is not to blame
            encoder = tried
    return PreparedEncoder(encoder, sample, reference)


def check_tokens(speech: SpeechModel, audio_tokens: int) -> None:
    """Checks that every utterance has at least one frame per vector.

    Raises:
        SettingsError: the shortest utterance has fewer frames than `audio_tokens`.
    """
    # Times are rounded down to whole samples, so the shortest utterance can be one sample shorter.
    max_tokens = speech.frames(MIN_DURATION_MS * SAMPLE_RATE // 1000 - 1)
    if audio_tokens > max_tokens:
        raise SettingsError(
            f"audio_tokens is {audio_tokens}",
            f"from 1 to {max_tokens}, the frames that {speech.source.name} makes of {MIN_DURATION_MS} ms",
            "correct `audio_tokens`",
        )


def _sample_segments(root: Path, rows: pa.Table, sample: Sequence[int], speech: SpeechModel) -> "list[np.ndarray]":
    (segments,) = decoded_segments([rows.take(pa.array(sample, pa.int64()))], root, workers=1)
    return [speech.normalised(segment) for segment in segments]


def reference_vectors(
    speech: SpeechModel, device: str, segments: "Sequence[np.ndarray]", config: EmbeddingConfig
) -> "np.ndarray":
    """The vectors by torch in float32, one segment per batch: float32 of shape (N, T * D)."""
    encoder = ReferenceEncoder(speech, device)
    return embed_segments(encoder, segments, config.segment_max_s, Budget(0), audio_tokens=config.audio_tokens)


def _passes(
    encoder: Encoder, segments: "Sequence[np.ndarray]", reference: "np.ndarray", config: EmbeddingConfig
) -> bool:
    budget = batch_budget(encoder, config)
    vectors = embed_segments(encoder, segments, config.segment_max_s, budget, audio_tokens=config.audio_tokens)
    return verify(vectors, reference, encoder.precision).passed


def batch_budget(encoder: Encoder, config: EmbeddingConfig) -> Budget:
    """The seconds of audio in one batch: the option, or the encoder's own value."""
    return Budget(config.batch_audio_s or encoder.batch_audio_s)
