"""The architecture: a text encoder's CLS vector attends to the audio vectors; two heads classify the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import ConfigDict, PositiveInt, TypeAdapter
from torch import Tensor, nn
from transformers import PreTrainedModel

from urgency_dagster.errors import SettingsError, TrainingDataError


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the network around its text encoder.

    Attributes:
        text_width: width of the encoder's hidden state; every inner layer has it.
        audio_width: width of one audio vector.
        urgency_classes: number of urgency classes.
        sentiment_classes: number of sentiment classes.
        attention_heads: heads of the cross-attention.
        dropout: dropout of the attention's output, and before the heads.
        audio_tokens: audio vectors of an utterance.
        attention_dropout: dropout of the attention weights.

    Raises:
        SettingsError: `text_width` is no multiple of `attention_heads`.

    Source: the original pipeline, for the defaults.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    text_width: PositiveInt
    audio_width: PositiveInt
    urgency_classes: PositiveInt
    sentiment_classes: PositiveInt
    attention_heads: PositiveInt = 4
    dropout: float = 0.1
    audio_tokens: PositiveInt = 1
    attention_dropout: float = 0.0

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> "ModelConfig":
        """The shape in a model folder; before the option `attention_dropout` its value was that of `dropout`.

        Raises:
            KeyError, ValueError: a value is missing, unknown or of another type.
        """
        return TypeAdapter(cls).validate_python({"attention_dropout": stored["dropout"], **stored})

    def __post_init__(self) -> None:
        if self.text_width % self.attention_heads:
            raise SettingsError(
                f"{self.attention_heads} attention heads for a text model of width {self.text_width}",
                "a divisor of the width",
                "change `attention_heads` or the text model",
            )


class Logits(NamedTuple):
    """Unnormalised scores: urgency of shape (B, U), sentiment of shape (B, S)."""

    urgency: Tensor
    sentiment: Tensor


class CrossAttention(nn.Module):
    """Cross-attention of one query to the audio, then dropout, residual connection and layer norm.

    With one audio vector the attention weight is always 1, so the query and key projections learn nothing.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, heads = config.text_width, config.attention_heads
        self.attn = nn.MultiheadAttention(width, heads, dropout=config.attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, query: Tensor, audio: Tensor) -> Tensor:
        """The output, (B, 1, W), from a query, (B, 1, W), and audio, (B, T, W)."""
        attended, _ = self.attn(query, audio, audio, need_weights=False)
        output: Tensor = self.norm(query + self.dropout(attended))
        return output


class KoElectraCrossModal(nn.Module):
    """Urgency and sentiment of an utterance from its tokens and its audio vectors.

    The state dict has the prefixes `text_encoder. wav_fc. cross_attn.attn. cross_attn.norm. sent_head. urg_head.`.

    Args:
        text_encoder: an encoder of the BERT family; the hidden state of its first token represents the text.
        config: the shape of the other layers.

    Source: the original pipeline.
    """

    def __init__(self, text_encoder: PreTrainedModel, config: ModelConfig) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.audio_tokens = config.audio_tokens
        self.wav_fc = nn.Linear(config.audio_width, config.text_width)
        self.cross_attn = CrossAttention(config)
        self.dropout = nn.Dropout(config.dropout)
        self.sent_head = nn.Linear(config.text_width, config.sentiment_classes)
        self.urg_head = nn.Linear(config.text_width, config.urgency_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, audio: Tensor) -> Logits:
        """The logits of both tasks: urgency, (B, U), and sentiment, (B, S).

        Args:
            input_ids: token ids, int64, (B, L).
            attention_mask: 1 for tokens and 0 for padding, int64, (B, L).
            audio: audio vectors, float32, (B, T, D); T = 1 is the mean over the utterance.

        Raises:
            TrainingDataError: T is not `config.audio_tokens`.
        """
        if audio.shape[1] != self.audio_tokens:
            raise TrainingDataError(
                f"{audio.shape[1]} audio vectors per utterance",
                f"{self.audio_tokens}, as in the training of the model",
                f"embed them with `audio_tokens: {self.audio_tokens}`, or train the model again",
            )
        hidden = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        query = hidden[:, :1]
        keys = torch.relu(self.wav_fc(audio))
        fused = self.dropout(self.cross_attn(query, keys).squeeze(1))
        return Logits(self.urg_head(fused), self.sent_head(fused))
