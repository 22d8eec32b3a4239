from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoTokenizer, Wav2Vec2Model

from urgency_dagster.demo.archives import draw_pairs, texts
from urgency_dagster.demo.models import SPECIAL_TOKENS, speech_model, text_model
from urgency_dagster.listening import Turn, load_listener
from urgency_dagster.pretrained import PretrainedModel

TEXTS = texts(draw_pairs(12, 7))


def folder(target: Path, files: dict[str, bytes]) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (target / name).write_bytes(content)
    return target


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("speech"), speech_model(TEXTS, 7))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("text"), text_model(TEXTS, 7))


def test_the_speech_model_loads_like_the_real_one(speech: Path) -> None:
    model = AutoModel.from_pretrained(speech).eval()
    extractor = AutoFeatureExtractor.from_pretrained(speech)
    assert (model.config.model_type, model.config.feat_extract_norm) == ("wav2vec2", "layer")
    assert model.config.do_stable_layer_norm
    assert (extractor.sampling_rate, extractor.do_normalize, extractor.return_attention_mask) == (16_000, True, True)
    one_second = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    inputs = extractor(one_second, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        frames = model(**inputs).last_hidden_state
    # One frame every 20 ms.
    assert frames.shape == (1, 49, model.config.hidden_size)
    assert torch.isfinite(frames).all()


def test_the_speech_model_recognises_syllables_of_its_texts(speech: Path) -> None:
    source = PretrainedModel("speech", speech, "local")
    listener = load_listener(source, device="cpu", recogniser="ctc")
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000).astype(np.float32)
    first, second = (listener.listen(noise, [Turn(0, 5000)]).turns[0].text for _ in range(2))
    assert first == second
    assert first
    assert set(first) <= {character for text in TEXTS for character in text}
    # As many syllables as somebody can speak, not one per frame.
    assert len(first) < 5 * 20


def test_the_head_does_not_change_the_network(speech: Path) -> None:
    """The vectors of a demo without a head stay as they are."""
    weights = load((speech / "model.safetensors").read_bytes())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = Wav2Vec2Model(AutoConfig.from_pretrained(speech)).state_dict()
    assert weights.keys() - {"lm_head.weight", "lm_head.bias"} == {f"wav2vec2.{name}" for name in network}
    assert all(torch.equal(weights[f"wav2vec2.{name}"], value) for name, value in network.items())


def test_padding_does_not_change_a_masked_segment(speech: Path) -> None:
    model = AutoModel.from_pretrained(speech).eval()
    extractor = AutoFeatureExtractor.from_pretrained(speech)
    rng = np.random.default_rng(0)
    short, long = (rng.normal(size=size).astype(np.float32) for size in (9_000, 20_000))

    def frames(*segments: Any) -> Any:
        inputs = extractor(list(segments), sampling_rate=16_000, padding=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs).last_hidden_state[0]

    alone = frames(short)
    torch.testing.assert_close(frames(short, long)[: len(alone)], alone, atol=1e-4, rtol=0)


def test_the_text_model_loads_like_the_real_one(text: Path) -> None:
    model = AutoModel.from_pretrained(text).eval()
    tokenizer = AutoTokenizer.from_pretrained(text)
    assert model.config.model_type == "electra"
    inputs = tokenizer(["불이 났어요.", "사람이 쓰러졌어요, 숨을 안 쉬어요."], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**inputs).last_hidden_state
    assert hidden.shape == (*inputs["input_ids"].shape, model.config.hidden_size)
    assert int(inputs["input_ids"].max()) < model.config.vocab_size == len(tokenizer)


def test_the_vocabulary_fits_its_texts(text: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text)
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL_TOKENS)
    ids = tokenizer(TEXTS)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)
    assert max(len(row) for row in ids) < tokenizer.model_max_length
    # Whole words were learnt, not single syllables only.
    assert len(tokenizer.tokenize("상황실입니다")) < len("상황실입니다")
    # Hangul is not taken apart.
    assert tokenizer.decode(tokenizer("위치가 어디세요?")["input_ids"], skip_special_tokens=True) == "위치가 어디세요?"


def test_another_seed_gives_other_weights() -> None:
    assert speech_model(TEXTS, 7)["model.safetensors"] != speech_model(TEXTS, 8)["model.safetensors"]


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    text_model(TEXTS, 7)
    assert torch.equal(torch.rand(3), expected)
