from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers import AutoModel, BertConfig, BertModel

from urgency_dagster.errors import SettingsError, TrainingDataError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, ModelConfig

CONFIG = ModelConfig(text_width=32, audio_width=12, urgency_classes=3, sentiment_classes=4)
PREFIXES = {"text_encoder", "wav_fc", "cross_attn.attn", "cross_attn.norm", "sent_head", "urg_head"}


def made(text_model: PretrainedModel, tokens: int = 1) -> KoElectraCrossModal:
    torch.manual_seed(0)
    encoder = AutoModel.from_pretrained(text_model.folder, local_files_only=True)
    return KoElectraCrossModal(encoder, replace(CONFIG, audio_tokens=tokens)).eval()


@pytest.fixture
def network(text_model: PretrainedModel) -> KoElectraCrossModal:
    return made(text_model)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 20, (4, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([9, 3, 5, 2])[:, None]).long()
    return ids * mask, mask, torch.randn(4, 1, 12, generator=generator)


def test_the_state_dict_has_the_originals_prefixes(network: KoElectraCrossModal) -> None:
    keys = network.state_dict().keys()
    assert {next(p for p in PREFIXES if key.startswith(f"{p}.")) for key in keys} == PREFIXES
    assert {"wav_fc.weight", "wav_fc.bias", "cross_attn.attn.in_proj_weight", "cross_attn.norm.weight"} <= set(keys)
    assert {"sent_head.weight", "urg_head.bias", "text_encoder.embeddings.word_embeddings.weight"} <= set(keys)


def test_logits_have_one_column_per_class(network: KoElectraCrossModal, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    logits = network(*inputs)
    assert logits.urgency.shape == (4, 3)
    assert logits.sentiment.shape == (4, 4)


def test_the_output_is_the_described_formula(
    network: KoElectraCrossModal, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    ids, mask, audio = inputs
    state = network.state_dict()
    cls = network.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    key = torch.relu(audio[:, 0] @ state["wav_fc.weight"].T + state["wav_fc.bias"])
    # With one key its weight is 1, so that the attention is the value projection and the output projection.
    value = key @ state["cross_attn.attn.in_proj_weight"][64:].T + state["cross_attn.attn.in_proj_bias"][64:]
    attended = value @ state["cross_attn.attn.out_proj.weight"].T + state["cross_attn.attn.out_proj.bias"]
    fused = torch.nn.functional.layer_norm(cls + attended, (32,))
    expected = fused @ state["urg_head.weight"].T + state["urg_head.bias"]
    torch.testing.assert_close(network(ids, mask, audio).urgency, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("extra", [1, 55])
def test_more_padding_gives_the_same_logits(
    network: KoElectraCrossModal, inputs: tuple[Tensor, Tensor, Tensor], extra: int
) -> None:
    ids, mask, audio = inputs
    short = network(ids, mask, audio)
    long = network(pad(ids, (0, extra)), pad(mask, (0, extra)), audio)
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-5)


def test_both_text_and_audio_reach_the_logits(
    network: KoElectraCrossModal, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    ids, mask, audio = inputs
    before = network(ids, mask, audio).urgency
    assert not torch.allclose(before, network(ids, mask, audio + 1).urgency)
    assert not torch.allclose(before, network(ids.roll(1, 0), mask, audio).urgency)


def test_several_audio_vectors_are_attended_to(
    network: KoElectraCrossModal, text_model: PretrainedModel, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    ids, mask, audio = inputs
    spans = torch.cat([audio, audio.roll(1, 0)], dim=1)
    logits = made(text_model, tokens=2)(ids, mask, spans)
    assert logits.urgency.shape == (4, 3)
    assert not torch.allclose(logits.urgency, network(ids, mask, audio).urgency)


@pytest.mark.parametrize("tokens", [1, 2, 4])
def test_queries_and_keys_learn_only_from_several_vectors(
    text_model: PretrainedModel, inputs: tuple[Tensor, Tensor, Tensor], tokens: int
) -> None:
    ids, mask, _ = inputs
    network = made(text_model, tokens)
    logits = network(ids, mask, torch.randn(4, tokens, 12, generator=torch.Generator().manual_seed(1)))
    cross_entropy(logits.urgency, torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    gradient = network.cross_attn.attn.in_proj_weight.grad
    assert gradient is not None
    queries, keys, values = gradient.abs().amax(dim=1).reshape(3, 32)
    assert values.max() > 1e-4
    assert (queries.max() > 1e-6, keys.max() > 1e-6) == (tokens > 1, tokens > 1)


@pytest.mark.parametrize(("tokens", "given"), [(1, 4), (4, 1), (4, 3)])
def test_another_number_of_audio_vectors_is_refused(
    text_model: PretrainedModel, inputs: tuple[Tensor, Tensor, Tensor], tokens: int, given: int
) -> None:
    ids, mask, audio = inputs
    message = (
        f"{given} audio vectors per utterance; expected {tokens}, .*`audio_tokens: {tokens}`, or train the model again"
    )
    with pytest.raises(TrainingDataError, match=message):
        made(text_model, tokens)(ids, mask, audio.expand(4, given, 12))


def test_any_encoder_of_the_family_fits(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    encoder = BertModel(BertConfig(vocab_size=30, hidden_size=16, **sizes))
    config = ModelConfig(text_width=16, audio_width=12, urgency_classes=3, sentiment_classes=2)
    assert KoElectraCrossModal(encoder, config)(*inputs).sentiment.shape == (4, 2)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(SettingsError, match="5 attention heads"):
        ModelConfig(text_width=32, audio_width=12, urgency_classes=3, sentiment_classes=4, attention_heads=5)


def test_the_attention_weights_have_dropout_only_where_it_is_asked_for(
    text_model: PretrainedModel, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    encoder = AutoModel.from_pretrained(text_model.folder, local_files_only=True).eval()
    ids, mask, audio = inputs
    for rate in (0.0, 0.9):
        network = KoElectraCrossModal(encoder, replace(CONFIG, dropout=0.0, attention_dropout=rate)).train()
        encoder.eval()
        one, other = (network(ids, mask, audio).urgency for _ in range(2))
        assert torch.allclose(one, other) == (rate == 0)


def test_a_stored_shape_of_before_has_the_attention_dropout_that_it_was_trained_with() -> None:
    stored = {name: value for name, value in asdict(CONFIG).items() if name != "attention_dropout"}
    assert ModelConfig.from_stored(stored).attention_dropout == CONFIG.dropout
    assert ModelConfig.from_stored(asdict(CONFIG)) == CONFIG
