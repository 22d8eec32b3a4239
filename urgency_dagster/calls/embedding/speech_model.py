"""A pretrained wav2vec2-family model: the preparation of its input, and the number of its output frames.

The library and the device are the encoder's concern.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import (
    PretrainedModel,
    check_weights,
    loading_errors,
    weights_hash,
    without_notices,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

GROUP_NORM = "group"
"""`feat_extract_norm` of models whose first layer normalises over time. Padding would change their output."""

MASK_ONLY = {"masked_spec_embed"}
"""Parameters that only pretraining uses. Some checkpoints lack them."""

HEAD = "lm_head"
"""The name of the CTC head in the models of transformers."""

NO_HEAD = "set URGENCY_RECOGNISER to `none` or to another recogniser"

PADDED_TO_SAMPLES = 640
"""Batches are padded to a multiple of this many samples: 40 ms, or two frames.

The inference libraries prepare each new batch length once. With few distinct lengths that cost ends soon.
"""


@dataclass(frozen=True)
class SpeechModel:
    """A loaded model with its feature extractor.

    Attributes:
        source: the folder and the identity of the model.
        network: the model in eval mode, float32, on the CPU.
        extractor: normalises and pads waveforms as in the model's training.
        may_pad: whether padding has not been found to change the vectors, see `unpadded`.
        head: the CTC head, from a frame to the logits of the tokens; None if the model has none, or it was not loaded.
    """

    source: PretrainedModel
    network: Any
    extractor: Any
    may_pad: bool = True
    head: Any = None

    def unpadded(self) -> "SpeechModel":
        """The same model without padding: only segments of equal length share a batch.

        Some models change their output with padding although their configuration does not say so, such as conformers
        and HuBERT with batch norm.
        """
        return replace(self, may_pad=False)

    @property
    def width(self) -> int:
        """The dimension D of a vector."""
        return int(self.network.config.hidden_size)

    @cached_property
    def weights_sha256(self) -> str:
        """The hash of the weights, see `pretrained.weights_hash`."""
        return weights_hash(self.source.folder)

    @property
    def can_pad(self) -> bool:
        """Whether segments of different lengths may share a batch."""
        return self.may_pad and getattr(self.network.config, "feat_extract_norm", GROUP_NORM) != GROUP_NORM

    def frames(self, samples: int) -> int:
        """The number of frames that the convolutions make of a segment.

        Source: the output length of an unpadded convolution, (n - kernel) // stride + 1, layer by layer.
        """
        for kernel, stride in zip(self.network.config.conv_kernel, self.network.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def check_head(self) -> None:
        """Checks that there is a CTC head.

        Raises:
            ModelError: there is none.
        """
        if self.head is None:
            raise ModelError(
                f"{self.source.name} has no CTC head", "a model that was trained to recognise speech", NO_HEAD
            )

    @property
    def head_tokens(self) -> int:
        """The number of tokens of the CTC head."""
        return int(self.head.out_features)

    @property
    def stride(self) -> int:
        """The samples from one frame to the next."""
        return prod(self.network.config.conv_stride)

    def normalised(self, segment: "np.ndarray") -> "np.ndarray":
        """The segment normalised by its own mean and variance, if the model expects that: float32 of shape (samples,).

        Args:
            segment: mono float32 at 16 kHz.
        """
        values: np.ndarray = self.extractor(segment, sampling_rate=SAMPLE_RATE).input_values[0]
        return values

    def padded(self, segments: "Sequence[np.ndarray]") -> "dict[str, torch.Tensor]":
        """The arguments of the network for a batch: `input_values` (B, samples), and `attention_mask` if it can pad.

        Args:
            segments: normalised waveforms; of equal length if the model cannot be padded.
        """
        inputs = self.extractor.pad(
            {"input_values": list(segments)},
            padding=True,
            pad_to_multiple_of=PADDED_TO_SAMPLES if self.can_pad else None,
            return_attention_mask=self.can_pad,
            return_tensors="pt",
        )
        return dict(inputs)


def pooled(hidden: "torch.Tensor", weights: "torch.Tensor") -> "torch.Tensor":
    """The weighted sums of the frames of each segment: float32 of shape (B, T, D).

    Args:
        hidden: the last hidden state, (B, F, D).
        weights: the weight of each frame in each sum, float32 of shape (B, T, at most F), on the same device.
    """
    return weights @ hidden[:, : weights.shape[2]].float()


def load_speech_model(source: PretrainedModel, *, ctc_head: bool = False) -> SpeechModel:
    """Loads a model from its folder.

    Args:
        source: the folder and the identity of the model.
        ctc_head: whether to load the CTC head too, if there is one. The network is the same.

    Raises:
        ModelError: the folder has no usable speech model, the model lacks weights, or the number of its frames cannot
            be computed.
    """
    extractor, network, head = _load(source, ctc_head=ctc_head)
    config = network.config
    is_countable = hasattr(config, "conv_kernel") and not getattr(config, "add_adapter", False)
    if not is_countable or extractor.sampling_rate != SAMPLE_RATE:
        raise ModelError(
            f"{source.name} is a {config.model_type} for {extractor.sampling_rate} Hz",
            f"a wav2vec2-family encoder without an adapter, for {SAMPLE_RATE} Hz",
            "set URGENCY_SPEECH_MODEL to one",
        )
    return SpeechModel(source, network.eval(), extractor, head=head.eval() if head is not None else None)


def _load(source: PretrainedModel, *, ctc_head: bool) -> tuple[Any, Any, Any]:
    """The feature extractor, the network and the CTC head of a folder; None for a head that is not there or not asked.

    Raises:
        ModelError: a file is missing or damaged, or the model lacks weights. transformers would fill them with random
            numbers.
    """
    import torch
    from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCTC

    expected = ("a wav2vec2-family model with its feature extractor", "set URGENCY_SPEECH_MODEL to one")
    try:
        extractor = AutoFeatureExtractor.from_pretrained(source.folder, local_files_only=True)
        # Float32 for every checkpoint: it is the reference of all other precisions.
        with without_notices():
            model, report = (AutoModelForCTC if ctc_head else AutoModel).from_pretrained(
                source.folder, dtype=torch.float32, local_files_only=True, weights_only=True, output_loading_info=True
            )
    except loading_errors() as error:
        raise ModelError(
            f"{source.name} cannot be loaded as a speech model ({type(error).__name__})", *expected
        ) from error
    network = model.base_model
    missing = {key.removeprefix(f"{model.base_model_prefix}.") for key in report["missing_keys"]}
    has_head = ctc_head and not any(_of_head(key) for key in missing)
    of_network = {**report, "missing_keys": {key for key in missing if not _of_head(key)}}
    check_weights(source.name, network, of_network, unused=MASK_ONLY, remedy=expected[1])
    return extractor, network, getattr(model, HEAD, None) if has_head else None


def _of_head(key: str) -> bool:
    return key.startswith(f"{HEAD}.")
