"""Segments in memory become vectors, without files: what the embedding step does for the utterances of an archive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urgency_dagster.calls.embedding.batching import embed_segments
from urgency_dagster.calls.embedding.choice import encoders
from urgency_dagster.calls.embedding.configuration import NEVER, EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import FLOAT32, TORCH, Encoder
from urgency_dagster.calls.embedding.preparation import batch_budget, check_tokens
from urgency_dagster.calls.embedding.speech_model import load_speech_model
from urgency_dagster.pretrained import PretrainedModel

if TYPE_CHECKING:
    import numpy as np

REFERENCE = EmbeddingConfig(engine=TORCH, precision=FLOAT32, padding=NEVER)
"""The options of the reference: no other vectors need a verification on a sample."""


@dataclass(frozen=True)
class SegmentEncoder:
    """A speech model that is ready to embed segments.

    Attributes:
        encoder: the model on its device.
        config: the options.
    """

    encoder: Encoder
    config: EmbeddingConfig

    def embed(self, segments: "Sequence[np.ndarray]") -> "np.ndarray":
        """The vectors of segments: float32 of shape (N, T, D).

        Args:
            segments: N waveforms, mono float32 at 16 kHz, each of at least 500 ms.

        Raises:
            ModelError: the device has no memory for one segment.
        """
        speech, tokens = self.encoder.speech, self.config.audio_tokens
        normalised = [speech.normalised(segment) for segment in segments]
        budget = batch_budget(self.encoder, self.config)
        vectors = embed_segments(self.encoder, normalised, self.config.segment_max_s, budget, audio_tokens=tokens)
        return vectors.reshape(len(segments), tokens, speech.width)


def load_segment_encoder(source: PretrainedModel, config: EmbeddingConfig = REFERENCE) -> SegmentEncoder:
    """Loads a speech model for segments in memory.

    Args:
        source: the speech model.
        config: the options. Vectors of another engine, precision or padding than the default's are not verified.

    Raises:
        ModelError: the speech model cannot be used.
        SettingsError: the device, engine or precision is not available here, or an utterance has fewer frames than
            `audio_tokens`.
    """
    speech = load_speech_model(source)
    check_tokens(speech, config.audio_tokens)
    speech = speech.unpadded() if config.padding == NEVER else speech
    return SegmentEncoder(next(encoders(speech, config)), config)
