"""Segments in memory become vectors, without files: what the embedding step does for the utterances of an archive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urgency_dagster.calls.embedding.batching import embed_segments
from urgency_dagster.calls.embedding.choice import encoders
from urgency_dagster.calls.embedding.configuration import NEVER, EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import FLOAT32, TORCH, Encoder, Observer, unobserved
from urgency_dagster.calls.embedding.frame_tokens import FrameTokens, TokenReader
from urgency_dagster.calls.embedding.preparation import batch_budget, check_tokens
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
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

    @property
    def speech(self) -> SpeechModel:
        """The speech model."""
        return self.encoder.speech

    def embed(self, segments: "Sequence[np.ndarray]") -> "np.ndarray":
        """The vectors of segments: float32 of shape (N, T, D).

        Args:
            segments: N waveforms, mono float32 at 16 kHz, each of at least 500 ms.

        Raises:
            DeviceMemoryError: the device has no memory for one segment.
        """
        return self._embedded(segments)

    def embed_with_tokens(self, segments: "Sequence[np.ndarray]") -> "tuple[np.ndarray, list[FrameTokens]]":
        """The vectors of segments as `embed` returns them, and the tokens of each from the same forward pass.

        Args:
            segments: see `embed`.

        Raises:
            DeviceMemoryError: the device has no memory for one segment.
            ModelError: there is no CTC head.
        """
        self.speech.check_head()
        reader = TokenReader(self.speech)
        vectors = self._embedded(segments, reader.read)
        return vectors, [reader.tokens(number) for number in range(len(segments))]

    def _embedded(self, segments: "Sequence[np.ndarray]", observe: Observer = unobserved) -> "np.ndarray":
        vectors = embed_segments(
            self.encoder,
            [self.speech.normalised(segment) for segment in segments],
            self.config.segment_max_s,
            batch_budget(self.encoder, self.config),
            audio_tokens=self.config.audio_tokens,
            observe=observe,
        )
        return vectors.reshape(len(segments), self.config.audio_tokens, self.speech.width)


def load_segment_encoder(
    source: PretrainedModel, config: EmbeddingConfig = REFERENCE, *, ctc_head: bool = False
) -> SegmentEncoder:
    """Loads a speech model for segments in memory.

    Args:
        source: the speech model.
        config: the options. Vectors of another engine, precision or padding than the default's are not verified.
        ctc_head: whether to load the CTC head too, if there is one. `embed_with_tokens` needs it.

    Raises:
        ModelError: the speech model cannot be used.
        SettingsError: the device, engine or precision is not available here, or an utterance has fewer frames than
            `audio_tokens`.
    """
    speech = load_speech_model(source, ctc_head=ctc_head)
    check_tokens(speech, config.audio_tokens)
    speech = speech.unpadded() if config.padding == NEVER else speech
    return SegmentEncoder(next(encoders(speech, config)), config)
