"""A tiny Whisper model through the listener. Its text means nothing; that it is the same twice does."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

from urgency_dagster.errors import ModelError, NoRecogniserError
from urgency_dagster.listening import Segment, Turn, load_listener
from urgency_dagster.listening.recognition.whisper import WhisperRecogniser, load_whisper_recogniser
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.conftest import LAYER
from urgency_dagster_tests.listening.conftest import Noise, save_whisper_model


@pytest.fixture(scope="module")
def recogniser(whisper_model: PretrainedModel) -> WhisperRecogniser:
    return load_whisper_recogniser(whisper_model, "cpu")


def test_turns_get_text_and_the_vectors_of_the_speech_model(
    models: dict[str, PretrainedModel], whisper_model: PretrainedModel, noise: Noise
) -> None:
    turns = [Turn(0, 900), Turn(1000, 2500), Turn(2000, 2600, "주어진 글")]
    listener = load_listener(models[LAYER], device="cpu", recogniser=f"whisper:{whisper_model.folder}")
    first, second = (listener.listen(noise(3000), turns) for _ in range(2))
    plain = load_listener(models[LAYER], device="cpu").listen(noise(3000), turns)
    assert first.vectors.tobytes() == plain.vectors.tobytes()
    assert (first.turns, first.listening) == (second.turns, "whisper")
    assert all(turn.text for turn in first.turns)
    assert first.turns[2].text == "주어진 글"
    assert first.characters == ((), (), ())


def test_the_text_is_that_of_transformers_in_korean(
    recogniser: WhisperRecogniser, whisper_model: PretrainedModel, noise: Noise
) -> None:
    network = WhisperForConditionalGeneration.from_pretrained(whisper_model.folder)
    extractor = WhisperFeatureExtractor.from_pretrained(whisper_model.folder)
    tokenizer = AutoTokenizer.from_pretrained(whisper_model.folder)
    features = extractor(noise(2000), sampling_rate=16_000, return_tensors="pt").input_features
    prompt = ["<|startoftranscript|>", "<|ko|>", "<|transcribe|>", "<|notimestamps|>"]
    tokens = tokenizer.convert_tokens_to_ids(prompt)
    forbidden = network.generation_config.suppress_tokens
    while len(tokens) < 24 and tokens[-1] != tokenizer.eos_token_id:
        logits = network(features, decoder_input_ids=torch.tensor([tokens])).logits
        scores = logits[0, -1].detach().numpy().copy()
        scores[forbidden] = -np.inf
        tokens.append(int(scores.argmax()))
    (transcript,) = recogniser.transcripts([Segment(noise(2000))])
    assert transcript.text == " ".join(tokenizer.decode(tokens, skip_special_tokens=True).split())


def test_a_segment_has_the_same_text_alone_and_among_many(recogniser: WhisperRecogniser, noise: Noise) -> None:
    segments = [Segment(noise(duration_ms)) for duration_ms in (600, 3000, 65_000, 500, 2000, 31_000, 700)]
    together = recogniser.transcripts(segments)
    assert [recogniser.transcripts([segment])[0] for segment in segments] == together
    assert recogniser.transcripts([]) == []


def test_a_segment_longer_than_a_window_is_recognised_in_equal_parts(recogniser: WhisperRecogniser) -> None:
    long = np.random.default_rng(1).normal(0, 0.1, 40 * 16_000).astype(np.float32)
    (whole,) = recogniser.transcripts([Segment(long)])
    halves = recogniser.transcripts([Segment(long[: 20 * 16_000]), Segment(long[20 * 16_000 :])])
    assert whole.text == " ".join(half.text for half in halves)


class TestRefusals:
    def test_a_model_without_korean(self, tmp_path: Path) -> None:
        english = save_whisper_model(tmp_path, languages=("<|en|>",))
        with pytest.raises(ModelError, match="does not know Korean"):
            load_whisper_recogniser(english, "cpu")

    def test_a_folder_of_another_model(self, ctc_model: PretrainedModel) -> None:
        with pytest.raises(ModelError, match=r"Whisper model.*URGENCY_RECOGNISER"):
            load_whisper_recogniser(ctc_model, "cpu")

    def test_a_folder_that_does_not_exist(self, models: dict[str, PretrainedModel], tmp_path: Path) -> None:
        listener = load_listener(models[LAYER], device="cpu", recogniser=f"whisper:{tmp_path / 'absent'}")
        assert listener.listen(np.zeros(16_000, np.float32), [Turn(0, 900, "네")]).listening == "label"
        with pytest.raises(NoRecogniserError, match=r"URGENCY_RECOGNISER names the folder .*config\.json"):
            listener.listen(np.zeros(16_000, np.float32), [Turn(0, 900)])

    def test_damaged_weights(self, whisper_model: PretrainedModel, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        shutil.copytree(whisper_model.folder, folder)
        (folder / "model.safetensors").write_bytes(b"damaged")
        with pytest.raises(ModelError, match="cannot be loaded as a Whisper model"):
            load_whisper_recogniser(PretrainedModel("model", folder, "local"), "cpu")
