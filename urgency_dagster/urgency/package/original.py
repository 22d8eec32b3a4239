"""Loading checkpoints of the original pipeline: the same logits, with urgency in this project's order.

Source: the original's training script. Its classes are in code-point order; its checkpoints do not name them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.errors import ArtefactError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.network.text_encoder import load_text_model, usable_length
from urgency_dagster.urgency.package.checkpoints import read_checkpoint
from urgency_dagster.urgency.package.model_folder import UrgencyModel

if TYPE_CHECKING:
    from torch import Tensor

    from urgency_dagster.urgency.network.cross_modal import ModelConfig

ORIGINAL_URGENCY = tuple(sorted(URGENCY_LEVELS))
"""The original's urgency classes in the order of its ids: 상, 중, 하."""

MAX_LENGTH = 512
"""Maximum number of tokens of a text in the original."""

UNUSED_BUFFERS = {"text_encoder.embeddings.position_ids"}
"""Buffers that older versions of transformers stored and newer ones create."""


def read_original(source: Path) -> dict[str, Any]:
    """The stored dictionary. It may hold tensors, plain values and NumPy numbers, as the original's do.

    Raises:
        ArtefactError: the file is missing or damaged, is no checkpoint, or holds other objects.
    """
    import torch

    with torch.serialization.safe_globals(_numpy_numbers()):
        checkpoint = read_checkpoint(source)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model_state_dict"), dict):
        raise ArtefactError(
            f"{source.name} holds no model_state_dict",
            "the dictionary that the original's training stored",
            "train the model again",
        )
    return checkpoint


def checkpoint_model(checkpoint: Mapping[str, Any], text_model: PretrainedModel) -> UrgencyModel:
    """The model of a checkpoint, in evaluation mode on the CPU, without temperatures and thresholds.

    A checkpoint without labels has the original's classes; its urgency head is put in this project's order.
    A checkpoint with labels, as this project writes them, keeps its order.

    Args:
        checkpoint: what `read_original` returns.
        text_model: the pretrained text encoder that it was trained from, for its configuration and tokenizer.

    Raises:
        ArtefactError: it does not name classes other than the original's, or does not fit the text model.
        ModelError: the text model's folder cannot be loaded.
    """
    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal

    encoder, tokenizer = load_text_model(text_model)
    weights = {name: tensor for name, tensor in checkpoint["model_state_dict"].items() if name not in UNUSED_BUFFERS}
    labels, weights = _labelled(checkpoint.get("labels"), weights)
    try:
        config = _model_config(checkpoint, weights, labels)
        network = KoElectraCrossModal(encoder, config)
        network.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ArtefactError(
            f"the checkpoint does not fit the text model {text_model.name} ({type(error).__name__})",
            "the original's architecture on the encoder that it was trained from",
            "name that text model",
        ) from error
    length = usable_length(encoder, tokenizer, checkpoint.get("max_length", MAX_LENGTH))
    return UrgencyModel(network.eval(), tokenizer, labels, config, length)


def _model_config(checkpoint: Mapping[str, Any], weights: "Mapping[str, Tensor]", labels: Labels) -> "ModelConfig":
    from urgency_dagster.urgency.network.cross_modal import ModelConfig

    text_width, audio_width = weights["wav_fc.weight"].shape
    return ModelConfig(
        text_width,
        audio_width,
        len(labels.urgency),
        len(labels.sentiment),
        attention_heads=checkpoint.get("config", {}).get("attention_heads", ModelConfig.attention_heads),
        audio_tokens=checkpoint.get("audio_tokens", ModelConfig.audio_tokens),
    )


def _numpy_numbers() -> list[Any]:
    """The constructors of pickled NumPy numbers, under the names of NumPy 1 and 2."""
    import numpy as np
    from numpy._core.multiarray import scalar

    dtypes: list[Any] = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32)]
    return [np.dtype, *dtypes, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]


def _labelled(
    stored: Mapping[str, list[str]] | None, weights: "dict[str, Tensor]"
) -> "tuple[Labels, dict[str, Tensor]]":
    """The labels of a checkpoint, and its weights with the urgency head in the order of the labels."""
    if stored:
        return Labels.from_json(stored), weights
    counts = {head: len(weights.get(f"{head}.bias", ())) for head in ("urg_head", "sent_head")}
    if counts != {"urg_head": len(ORIGINAL_URGENCY), "sent_head": len(SENTIMENTS)}:
        raise ArtefactError(
            f"{counts['urg_head']} urgency and {counts['sent_head']} sentiment classes without labels",
            f"{len(ORIGINAL_URGENCY)} and {len(SENTIMENTS)}, as in the original's",
            "add `labels`: the names of both tasks in the order of its ids",
        )
    order = [ORIGINAL_URGENCY.index(name) for name in URGENCY_LEVELS]
    reordered = {name: weights[name][order] for name in ("urg_head.weight", "urg_head.bias")}
    return Labels(URGENCY_LEVELS, SENTIMENTS), weights | reordered
