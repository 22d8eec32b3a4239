"""Tiny models that recognise: a speech model with a CTC head, and a Whisper model. They know nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.conftest import GROUP, LAYER, LAYER_NORM, SHAPE, save_speech_model

BLANK, UNKNOWN, SPACE = "[PAD]", "[UNK]", "|"
TOKENS = (BLANK, UNKNOWN, SPACE, "가", "나", "다", "불", "이")

Noise = Callable[[int], np.ndarray]
"""Returns noise of so many milliseconds: mono float32 at 16 kHz."""


@pytest.fixture(scope="session")
def noise() -> Noise:
    def samples(duration_ms: int) -> np.ndarray:
        return np.random.default_rng(0).normal(0, 0.1, duration_ms * 16).astype(np.float32)

    return samples


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PretrainedModel]:
    """Speech models without a head, by kind. Not to be written to."""
    return {kind: save_speech_model(tmp_path_factory.mktemp("model"), kind) for kind in (LAYER, GROUP)}


def save_ctc_model(folder: Path, **changed: Any) -> PretrainedModel:
    """Writes a speech model with a CTC head and its tokenizer, as the hub's models are written."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(TOKENS)}), encoding="utf-8")
    config = Wav2Vec2Config(**SHAPE | LAYER_NORM | {"vocab_size": len(TOKENS), "pad_token_id": 0} | changed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Wav2Vec2ForCTC(config)
        torch.nn.init.normal_(network.lm_head.weight)  # wide enough that more than one token wins
        network.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    Wav2Vec2CTCTokenizer(vocabulary, unk_token=UNKNOWN, pad_token=BLANK).save_pretrained(folder)
    return PretrainedModel(folder.name, folder, "local")


@pytest.fixture(scope="session")
def ctc_model(tmp_path_factory: pytest.TempPathFactory) -> PretrainedModel:
    """Not to be written to."""
    return save_ctc_model(tmp_path_factory.mktemp("ctc"))


def save_whisper_model(folder: Path, *, languages: tuple[str, ...] = ("<|en|>", "<|ko|>")) -> PretrainedModel:
    """Writes a Whisper model with its feature extractor and tokenizer."""
    import torch
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, "<|translate|>", "<|transcribe|>"]
    special += ["<|startofprev|>", "<|notimestamps|>"]
    letters = list(bytes_to_unicode().values())
    vocabulary = {token: number for number, token in enumerate([*letters, *special])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    config = WhisperConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=24,
        pad_token_id=vocabulary["<|endoftext|>"],
        bos_token_id=vocabulary["<|endoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        decoder_start_token_id=vocabulary["<|startoftranscript|>"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = WhisperForConditionalGeneration(config)
    network.generation_config = GenerationConfig(
        is_multilingual=len(languages) > 1,
        lang_to_id={language: vocabulary[language] for language in languages},
        task_to_id={task: vocabulary[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        decoder_start_token_id=vocabulary["<|startoftranscript|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        suppress_tokens=[vocabulary[token] for token in special[1:]],
        max_length=24,
    )
    network.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return PretrainedModel(folder.name, folder, "local")


@pytest.fixture(scope="session")
def whisper_model(tmp_path_factory: pytest.TempPathFactory) -> PretrainedModel:
    """Not to be written to."""
    return save_whisper_model(tmp_path_factory.mktemp("whisper"))
