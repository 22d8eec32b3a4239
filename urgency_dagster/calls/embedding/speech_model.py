"""A pretrained wav2vec2-family model: what it needs as input, and how many frames it makes of it.

On what it runs, and how fast, is in `encoders`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel, weights_hash

if TYPE_CHECKING:
    import numpy as np
    import torch

GROUP_NORM = "group"
"""`feat_extract_norm` of models whose first layer normalises over time, padding included: never pad them."""

MASK_ONLY = {"masked_spec_embed"}
"""A parameter of pretraining that some checkpoints lack and inference does not use."""

PADDED_TO_SAMPLES = 640
"""Padded batches are a multiple of this long, 40 ms or two frames.

Every new length of a batch costs the libraries that compute it time to prepare; so few lengths are soon all known.
"""


@dataclass(frozen=True)
class SpeechModel:
    """A loaded model with its feature extractor.

    Attributes:
        source: where the files lie, and what they are.
        network: the model in eval mode, float32, on the CPU.
        extractor: normalises and pads waveforms as the model was trained on them.
    """

    source: PretrainedModel
    network: Any
    extractor: Any

    @property
    def width(self) -> int:
        """The length of a vector."""
        return int(self.network.config.hidden_size)

    @cached_property
    def weights_sha256(self) -> str:
        """The hash of the weights, see `pretrained.weights_hash`."""
        return weights_hash(self.source.folder)

    @property
    def can_pad(self) -> bool:
        """Whether segments of different lengths may share a batch."""
        return getattr(self.network.config, "feat_extract_norm", GROUP_NORM) != GROUP_NORM

    def frames(self, samples: int) -> int:
        """The frames that the convolutions make of a segment.

        Source: the output length of an unpadded convolution, (n - kernel) // stride + 1, layer by layer.
        """
        for kernel, stride in zip(self.network.config.conv_kernel, self.network.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def normalised(self, segment: "np.ndarray") -> "np.ndarray":
        """A segment as the model expects it, normalised by itself alone: float32 of shape (samples,).

        Args:
            segment: mono float32 at 16 kHz.
        """
        values: np.ndarray = self.extractor(segment, sampling_rate=SAMPLE_RATE).input_values[0]
        return values

    def padded(self, segments: "Sequence[np.ndarray]") -> "dict[str, torch.Tensor]":
        """The arguments of the network for a batch: `input_values` (B, samples), and `attention_mask` if it can pad.

        Args:
            segments: as `normalised` gives them; all of one length if the model cannot be padded.
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
        weights: what each frame counts in each sum, float32 of shape (B, T, at most F), on the same device.
    """
    return weights @ hidden[:, : weights.shape[2]].float()


def load_speech_model(source: PretrainedModel) -> SpeechModel:
    """The model of a folder.

    Raises:
        ModelError: the folder holds no usable speech model, one that lacks weights, or one whose frames cannot be
            counted.
    """
    extractor, network = _load(source)
    config = network.config
    frames_known = hasattr(config, "conv_kernel") and not getattr(config, "add_adapter", False)
    if not frames_known or extractor.sampling_rate != SAMPLE_RATE:
        raise ModelError(
            f"{source.name} is a {config.model_type} for {extractor.sampling_rate} Hz",
            f"a wav2vec2-family encoder without an adapter, for {SAMPLE_RATE} Hz",
            "set URGENCY_SPEECH_MODEL to one",
        )
    return SpeechModel(source, network.eval(), extractor)


def _load(source: PretrainedModel) -> tuple[Any, Any]:
    """The feature extractor and the model of a folder.

    Raises:
        ModelError: one is missing or damaged, or the model lacks weights, which would be filled with random ones.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoFeatureExtractor, AutoModel

    unusable_files = (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)
    damaged_pickles = (EOFError, UnpicklingError)  # `pytorch_model.bin`
    needed = ("a wav2vec2-family model with its feature extractor", "set URGENCY_SPEECH_MODEL to one")
    try:
        extractor = AutoFeatureExtractor.from_pretrained(source.folder, local_files_only=True)
        # Float32 whatever the checkpoint was saved in: it is the reference of every other precision.
        network, report = AutoModel.from_pretrained(
            source.folder, dtype=torch.float32, local_files_only=True, weights_only=True, output_loading_info=True
        )
    except (*unusable_files, *damaged_pickles) as error:
        raise ModelError(
            f"{source.name} cannot be loaded as a speech model ({type(error).__name__})", *needed
        ) from error
    if missing := set(report["missing_keys"]) - MASK_ONLY:
        raise ModelError(f"{source.name} holds no weights for {len(missing)} of its parameters", *needed)
    return extractor, network
