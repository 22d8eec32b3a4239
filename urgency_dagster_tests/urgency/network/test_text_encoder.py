"""Text models that people have: other families are accepted, unfit ones are refused in one sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.network.text_encoder import load_text_model, usable_length

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TOKENS = 22
"""Tokens of the tiny text model."""


@pytest.fixture
def made(text_model: PretrainedModel, tmp_path: Path) -> Callable[[tf.PreTrainedModel], PretrainedModel]:
    """Saves an encoder with the tokenizer of the tiny text model."""

    def make(encoder: tf.PreTrainedModel) -> PretrainedModel:
        encoder.save_pretrained(tmp_path / "made")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(text_model.folder / name, tmp_path / "made")
        return PretrainedModel("made", tmp_path / "made", "local")

    return make


def roberta(positions: int, pad: int) -> tf.PreTrainedModel:
    return tf.RobertaModel(
        tf.RobertaConfig(vocab_size=TOKENS, max_position_embeddings=positions, pad_token_id=pad, **SIZES)
    )


ENCODERS: dict[str, Callable[[], tf.PreTrainedModel]] = {
    "bert": lambda: tf.BertModel(tf.BertConfig(vocab_size=TOKENS, **SIZES)),
    "masked_language_model": lambda: tf.BertForMaskedLM(tf.BertConfig(vocab_size=TOKENS, **SIZES)),
    "discriminator": lambda: tf.ElectraForPreTraining(tf.ElectraConfig(vocab_size=TOKENS, **SIZES)),
    "half": lambda: tf.ElectraModel(tf.ElectraConfig(vocab_size=TOKENS, **SIZES)).half(),
    "roberta": lambda: roberta(514, 1),
    "distilbert": lambda: tf.DistilBertModel(
        tf.DistilBertConfig(vocab_size=TOKENS, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    ),
    "relative_positions": lambda: tf.DebertaV2Model(
        tf.DebertaV2Config(vocab_size=TOKENS, relative_attention=True, position_biased_input=False, **SIZES)
    ),
}


@pytest.mark.parametrize("family", ENCODERS)
def test_encoders_of_other_families_are_accepted(
    made: Callable[[tf.PreTrainedModel], PretrainedModel], family: str
) -> None:
    encoder, tokenizer = load_text_model(made(ENCODERS[family]()))
    assert encoder.dtype == torch.float32
    assert usable_length(encoder, tokenizer, 512) == 512


UNFIT: dict[str, tuple[Callable[[], tf.PreTrainedModel], str]] = {
    "causal": (
        lambda: tf.GPT2Model(tf.GPT2Config(vocab_size=TOKENS, n_embd=16, n_layer=1, n_head=2)),
        "is a causal model: its first token sees no other; expected an encoder whose first token sees the whole text",
    ),
    "encoder-decoder": (
        lambda: tf.BartModel(
            tf.BartConfig(
                vocab_size=TOKENS,
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
            )
        ),
        "is an encoder-decoder; expected an encoder of the BERT family",
    ),
    "half of an encoder-decoder": (
        lambda: tf.T5EncoderModel(
            tf.T5Config(vocab_size=TOKENS, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        "is an encoder-decoder",
    ),
    "vocabulary": (
        lambda: tf.BertModel(tf.BertConfig(vocab_size=10, **SIZES)),
        "has token ids up to 21, and its encoder has 10 token vectors",
    ),
    "one vector": (
        lambda: blind(tf.BertModel(tf.BertConfig(vocab_size=TOKENS, **SIZES))),
        "gives two texts the same vector",
    ),
    "not finite": (
        lambda: filled(tf.BertModel(tf.BertConfig(vocab_size=TOKENS, **SIZES)), float("nan")),
        "gives vectors that are not finite",
    ),
}


def blind(encoder: tf.PreTrainedModel) -> tf.PreTrainedModel:
    """The encoder with one vector for all words."""
    table: Any = encoder.get_input_embeddings()
    table.weight.data[:] = table.weight.data[5]
    return encoder


def filled(encoder: tf.PreTrainedModel, value: float) -> tf.PreTrainedModel:
    for parameter in encoder.parameters():
        parameter.data.fill_(value)
    return encoder


@pytest.mark.parametrize("kind", UNFIT)
def test_unfit_models_are_refused_in_one_sentence(
    made: Callable[[tf.PreTrainedModel], PretrainedModel], kind: str
) -> None:
    encoder, sentence = UNFIT[kind]
    with pytest.raises(ModelError, match=sentence):
        load_text_model(made(encoder()))


@pytest.fixture
def copied(text_model: PretrainedModel, tmp_path: Path) -> PretrainedModel:
    return PretrainedModel("tiny", shutil.copytree(text_model.folder, tmp_path / "tiny"), "local")


def test_a_folder_without_tokenizer_files_is_refused(copied: PretrainedModel) -> None:
    for file in copied.folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="'tiny' has no tokenizer files, so every word would be unknown"):
        load_text_model(copied)


def renamed(folder: Path, names: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    save_file(names(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_under_other_names_are_refused(copied: PretrainedModel) -> None:
    """transformers would train a random encoder."""
    renamed(copied.folder, lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()})
    with pytest.raises(ModelError, match=r"holds no weights for \d+ of its parameters: .*, but one named module\."):
        load_text_model(copied)


def test_a_missing_layer_is_refused(copied: PretrainedModel) -> None:
    renamed(
        copied.folder, lambda weights: {name: weights[name] for name in weights if "attention.self.key" not in name}
    )
    with pytest.raises(ModelError, match="holds no weights for 2 of its parameters"):
        load_text_model(copied)


def test_weights_of_more_layers_than_configured_are_refused(copied: PretrainedModel) -> None:
    more = {"electra.encoder.layer.7.output.dense.bias": torch.zeros(32)}
    renamed(copied.folder, lambda weights: {f"electra.{name}": weights[name] for name in weights} | more)
    with pytest.raises(ModelError, match=r"holds 1 weights without a place in its network, such as .*layer\.7"):
        load_text_model(copied)


def test_a_head_is_no_fault(copied: PretrainedModel) -> None:
    head = {"discriminator_predictions.dense.weight": torch.zeros(32, 32)}
    renamed(copied.folder, lambda weights: {f"electra.{name}": weights[name] for name in weights} | head)
    load_text_model(copied)


@pytest.mark.parametrize("content", [b"", b"{", b"damaged"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_refused(copied: PretrainedModel, name: str, content: bytes) -> None:
    (copied.folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"'tiny' (cannot be loaded|has no tokenizer files)"):
        load_text_model(copied)


@pytest.mark.parametrize(
    ("positions", "pad", "asked", "length"),
    [(514, 1, 512, 512), (514, 1, 600, 512), (512, 0, 512, 511), (514, 3, 512, 510), (64, 0, 20, 20), (64, 1, 512, 62)],
)
def test_positions_of_roberta_start_behind_its_padding(
    made: Callable[[tf.PreTrainedModel], PretrainedModel], positions: int, pad: int, asked: int, length: int
) -> None:
    """Source: transformers' `create_position_ids_from_input_ids`: positions are padding_idx + 1 and following."""
    assert usable_length(*load_text_model(made(roberta(positions, pad))), asked) == length
