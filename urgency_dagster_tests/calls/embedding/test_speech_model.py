import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from urgency_dagster.calls.embedding.speech_model import PADDED_TO_SAMPLES, SpeechModel, load_speech_model, pooled
from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.writing import file_hash
from urgency_dagster_tests.calls.conftest import GROUP, HUBERT, LAYER, WAVLM, SpeechModels, save_speech_model
from urgency_dagster_tests.calls.one_by_one import segments


class TestGeometry:
    @pytest.mark.parametrize("kind", [LAYER, HUBERT])
    @pytest.mark.parametrize("samples", [400, 719, 720, 8000, 8001, 15_999])
    def test_frames_are_counted_as_the_model_makes_them(
        self, speech_model: SpeechModels, kind: str, samples: int
    ) -> None:
        speech = load_speech_model(speech_model(kind))
        with torch.inference_mode():
            made = speech.network(torch.zeros(1, samples)).last_hidden_state.shape[1]
        assert speech.frames(samples) == made

    def test_width_and_padding_are_read_from_the_model(self, speech_model: SpeechModels, tmp_path: Path) -> None:
        assert [load_speech_model(speech_model(kind)).can_pad for kind in (LAYER, GROUP, HUBERT, WAVLM)] == [
            True,
            False,
            True,
            True,
        ]
        assert load_speech_model(speech_model(LAYER)).width == 16
        assert load_speech_model(save_speech_model(tmp_path, LAYER, hidden_size=32)).width == 32


class TestInputs:
    def test_a_segment_is_normalised_by_itself(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        for segment in segments(8000, 12_000):
            normalised = speech.normalised(segment)
            assert normalised.dtype == np.float32
            assert normalised.mean() == pytest.approx(0, abs=1e-5)
            assert normalised.std() == pytest.approx(1, abs=1e-3)

    def test_a_model_that_was_trained_without_gets_none(self, speech_model: SpeechModels, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(speech_model(LAYER).folder, tmp_path / "model"))
        stored = json.loads((folder / "preprocessor_config.json").read_text())
        (folder / "preprocessor_config.json").write_text(json.dumps({**stored, "do_normalize": False}))
        (segment,) = segments(8000)
        np.testing.assert_array_equal(load_speech_model(PretrainedModel("x", folder, "l")).normalised(segment), segment)

    def test_padding_is_masked_and_of_few_lengths(self, speech_model: SpeechModels) -> None:
        inputs = load_speech_model(speech_model(LAYER)).padded(segments(8001, 9000))
        assert inputs["input_values"].shape == (2, 9600)
        assert 9600 % PADDED_TO_SAMPLES == 0
        assert inputs["attention_mask"].sum(dim=1).tolist() == [8001, 9000]
        assert not inputs["input_values"][0, 8001:].any()

    def test_a_model_that_cannot_be_padded_is_not(self, speech_model: SpeechModels) -> None:
        inputs = load_speech_model(speech_model(GROUP)).padded(segments(8001, 8001))
        assert list(inputs) == ["input_values"]
        assert inputs["input_values"].shape == (2, 8001)


class TestPooling:
    def test_frames_count_by_their_weights_and_those_beyond_do_not(self) -> None:
        hidden = torch.randn(2, 40, 16)
        weights = torch.zeros(2, 1, 37)
        weights[0, 0, :24], weights[1, 0] = 1 / 24, 1 / 37
        hidden[:, 37:] = torch.nan
        expected = torch.stack([hidden[0, :24].mean(dim=0), hidden[1, :37].mean(dim=0)])[:, None]
        torch.testing.assert_close(pooled(hidden, weights), expected)

    def test_sums_are_taken_in_float32_whatever_the_precision(self) -> None:
        hidden, weights = torch.randn(1, 300, 8).to(torch.bfloat16), torch.full((1, 1, 300), 1 / 300)
        found = pooled(hidden, weights)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found[0, 0], hidden[0].double().mean(dim=0).float())


class Evil:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


class TestModels:
    @pytest.fixture
    def folder(self, tmp_path: Path, speech_model: SpeechModels) -> Path:
        """A copy of a good model, to be damaged."""
        return Path(shutil.copytree(speech_model(LAYER).folder, tmp_path / "model"))

    def load(self, folder: Path) -> SpeechModel:
        return load_speech_model(PretrainedModel(str(folder), folder, "local"))

    def test_the_copy_is_good(self, folder: Path) -> None:
        assert self.load(folder).width == 16

    @pytest.mark.parametrize("content", ["{}", "no json", "[]", '{"model_type": "nothing"}', '{"model_type": 3}'])
    def test_a_config_of_no_model_is_refused(self, folder: Path, content: str) -> None:
        (folder / "config.json").write_text(content)
        with pytest.raises(ModelError, match="URGENCY_SPEECH_MODEL"):
            self.load(folder)

    @pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
    def test_a_missing_file_is_refused(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(ModelError, match="cannot be loaded as a speech model"):
            self.load(folder)

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
    @pytest.mark.parametrize("content", [b"", b"garbage" * 99])
    def test_damaged_weights_are_refused(self, folder: Path, name: str, content: bytes) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(content)
        with pytest.raises(ModelError, match="cannot be loaded as a speech model"):
            self.load(folder)

    def test_weights_of_another_size_are_refused(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
        with pytest.raises(ModelError):
            self.load(folder)

    def test_missing_weights_are_not_filled_with_random_ones(self, folder: Path) -> None:
        weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if "layers.1." not in k}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match="holds no weights"):
            self.load(folder)

    def test_weights_of_more_layers_than_configured_are_refused(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        more = {"encoder.layers.9.final_layer_norm.bias": next(iter(weights.values())).clone()}
        save_file(weights | more, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match=r"holds 1 weights without a place in its network, such as .*layers\.9"):
            self.load(folder)

    def test_weights_that_only_pretraining_needs_may_be_missing(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        del weights["masked_spec_embed"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        assert self.load(folder).width == 16

    def test_a_text_model_is_refused(self, folder: Path) -> None:
        config = {"model_type": "electra", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1}
        (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 1, "intermediate_size": 8}))
        with pytest.raises(ModelError, match="URGENCY_SPEECH_MODEL"):
            self.load(folder)

    def test_an_adapter_whose_frames_are_not_those_of_the_convolutions_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="adapter"):
            load_speech_model(save_speech_model(tmp_path, LAYER, add_adapter=True, output_hidden_size=16))

    def test_a_model_for_another_rate_is_refused(self, folder: Path) -> None:
        config = json.loads((folder / "preprocessor_config.json").read_text())
        (folder / "preprocessor_config.json").write_text(json.dumps({**config, "sampling_rate": 8000}))
        with pytest.raises(ModelError, match="8000 Hz"):
            self.load(folder)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_a_checkpoint_of_half_precision_is_computed_in_float32(self, folder: Path, dtype: Any) -> None:
        AutoModel.from_pretrained(folder).to(dtype).save_pretrained(folder)
        assert {parameter.dtype for parameter in self.load(folder).network.parameters()} == {torch.float32}

    def test_pickled_weights_are_read_as_data(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
        assert self.load(folder).width == 16

    @pytest.mark.parametrize("by_torch", [True, False])
    def test_a_pickle_that_runs_code_is_refused_and_not_run(self, folder: Path, tmp_path: Path, by_torch: bool) -> None:
        (folder / "model.safetensors").unlink()
        evil = {"weight": Evil(tmp_path / "ran")}
        if by_torch:
            torch.save(evil, folder / "pytorch_model.bin")
        else:
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps(evil, protocol=2))
        with pytest.raises(ModelError, match="cannot be loaded as a speech model"):
            self.load(folder)
        assert not (tmp_path / "ran").exists()

    def test_safetensors_are_preferred(self, folder: Path, tmp_path: Path) -> None:
        torch.save({"weight": Evil(tmp_path / "ran")}, folder / "pytorch_model.bin")
        assert self.load(folder).weights_sha256 == file_hash(folder / "model.safetensors")
        assert not (tmp_path / "ran").exists()
