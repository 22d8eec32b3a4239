"""Tiny speech models of each kind, written as the hub's models are."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.pretrained import PretrainedModel

LAYER, GROUP, HUBERT, WAVLM = "wav2vec2 layer", "wav2vec2 group", "hubert layer", "wavlm layer"

SHAPE: dict[str, Any] = {
    "vocab_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
WIDE = {"hidden_size": 64, "intermediate_size": 128, "conv_dim": (32,) * 7}
"""Wide enough that the rounding of half precision evens out, as in a real model."""
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
GROUP_NORM = {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False}


SpeechModels = Callable[..., PretrainedModel]
"""Returns the model of a kind: `<model type> <norm of the first layer>`, by default LAYER."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several threads only wait for each other on networks this small."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save_speech_model(folder: Path, kind: str, **changed: Any) -> PretrainedModel:
    """Writes a model with random weights and its feature extractor."""
    import torch
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    model_type, norm = kind.split()
    shape = SHAPE | (LAYER_NORM if norm == "layer" else GROUP_NORM) | changed
    config = AutoConfig.for_model(model_type, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)
    return PretrainedModel(str(folder), folder, "local")


@pytest.fixture(scope="session")
def speech_model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModels:
    """The model of a kind: `<model type> <norm of the first layer>`. Not to be written to."""
    made: dict[str, PretrainedModel] = {}

    def model(kind: str = LAYER) -> PretrainedModel:
        if kind not in made:
            made[kind] = save_speech_model(tmp_path_factory.mktemp("model"), kind)
        return made[kind]

    return model
