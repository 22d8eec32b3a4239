import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.batching import Budget, embed_segments
from urgency_dagster.calls.embedding.choice import (
    MIN_BFLOAT16_SPEEDUP,
    EncoderChoice,
    encoders,
    native_reduced_precision,
    read_choice,
    write_choice,
)
from urgency_dagster.calls.embedding.configuration import EncoderConfig
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
from urgency_dagster.calls.embedding.torch_encoder import TorchEncoder
from urgency_dagster.calls.embedding.verification import MAX_DIFFERENCE, verify
from urgency_dagster.devices import core_gflops
from urgency_dagster.errors import SettingsError
from urgency_dagster.openvino_runtime import import_openvino
from urgency_dagster_tests.calls.conftest import GROUP, HUBERT, LAYER, WAVLM, WIDE, SpeechModels, save_speech_model
from urgency_dagster_tests.calls.one_by_one import OneByOne, segments

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning"),  # WavLM's own
]

LENGTHS = (8000, 8000, 8001, 9000, 12_345, 30_000, 8319, 8320, 24_000)


def ways(speech: SpeechModel, **asked: Any) -> list[tuple[str, str]]:
    return [(encoder.engine, encoder.precision) for encoder in encoders(speech, EncoderConfig(device="cpu", **asked))]


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were not installed: the module cannot be found."""
    monkeypatch.setitem(sys.modules, "openvino", None)


def openvino_capabilities() -> list[str]:
    """What OpenVINO can compute natively on this CPU."""
    capabilities: list[str] = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return capabilities


class TestVectors:
    @pytest.mark.parametrize("kind", [LAYER, GROUP, HUBERT, WAVLM])
    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_a_batch_gives_what_each_segment_gives_alone(
        self, speech_model: SpeechModels, kind: str, engine: str
    ) -> None:
        speech, spoken = load_speech_model(speech_model(kind)), segments(*LENGTHS)
        (encoder,) = encoders(speech, EncoderConfig(device="cpu", engine=engine, precision="float32"))
        vectors = embed_segments(encoder, [speech.normalised(segment) for segment in spoken], 30, Budget(4))
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(spoken), 16)
        expected = OneByOne(speech_model(kind)).vectors(spoken)
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
        assert np.abs(expected[0] - expected[1]).max() > 1e-3, "different segments have different vectors"

    @pytest.mark.parametrize("kind", [LAYER, GROUP, HUBERT, WAVLM])
    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_half_the_bits_stay_within_the_bound(self, tmp_path: Path, kind: str, engine: str) -> None:
        model, spoken = save_speech_model(tmp_path, kind, **WIDE), segments(*LENGTHS)
        speech = load_speech_model(model)
        (encoder,) = encoders(speech, EncoderConfig(device="cpu", engine=engine, precision="bfloat16"))
        vectors = embed_segments(encoder, [speech.normalised(segment) for segment in spoken], 30, Budget(4))
        verification = verify(vectors, OneByOne(model).vectors(spoken), "bfloat16")
        assert verification.passed, verification
        if engine == "torch" or "BF16" in openvino_capabilities():  # otherwise OpenVINO computes in float32
            assert verification.max_difference is not None
            assert verification.max_difference > 1e-4, "the precision is reduced indeed"

    @pytest.mark.parametrize("kind", [LAYER, GROUP])
    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    @pytest.mark.parametrize("tokens", [2, 4, 24])
    def test_each_span_has_the_mean_of_its_own_frames(
        self, speech_model: SpeechModels, kind: str, engine: str, tokens: int
    ) -> None:
        speech, spoken = load_speech_model(speech_model(kind)), segments(*LENGTHS)
        (encoder,) = encoders(speech, EncoderConfig(device="cpu", engine=engine, precision="float32"))
        normalised = [speech.normalised(segment) for segment in spoken]
        vectors = embed_segments(encoder, normalised, 30, Budget(4), audio_tokens=tokens)
        assert vectors.shape == (len(spoken), tokens * 16)
        one_by_one = OneByOne(speech_model(kind))
        expected = np.stack([one_by_one.spans(segment, tokens) for segment in spoken])
        np.testing.assert_allclose(vectors.reshape(expected.shape), expected, rtol=0, atol=MAX_DIFFERENCE)
        assert np.abs(expected[:, 0] - expected[:, 1]).max() > 1e-2, "different spans have different vectors"

    @pytest.mark.parametrize("kind", [LAYER, GROUP])
    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_the_spans_together_are_the_whole(self, speech_model: SpeechModels, kind: str, engine: str) -> None:
        """In batches with padding and in segments longer than the model sees at once too."""
        speech, spoken = load_speech_model(speech_model(kind)), segments(*LENGTHS)
        (encoder,) = encoders(speech, EncoderConfig(device="cpu", engine=engine, precision="float32"))
        whole, spans = (embed_segments(encoder, spoken, 1, Budget(4), audio_tokens=tokens) for tokens in (1, 4))
        for segment, mean, vectors in zip(spoken, whole, spans.reshape(-1, 4, 16), strict=True):
            parts = -(-len(segment) // SAMPLE_RATE)
            bounds = [len(segment) * part // parts for part in range(parts + 1)]
            frames = sum(speech.frames(end - start) for start, end in pairwise(bounds))
            sizes = np.diff([frames * span // 4 for span in range(5)])
            np.testing.assert_allclose(np.average(vectors, axis=0, weights=sizes), mean, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("kind", [LAYER, GROUP])
    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_the_budget_changes_nothing(self, speech_model: SpeechModels, kind: str, engine: str) -> None:
        speech, spoken = load_speech_model(speech_model(kind)), segments(8000, 24_000, 8000, 16_000, 9000)
        (encoder,) = encoders(speech, EncoderConfig(device="cpu", engine=engine, precision="float32"))
        alone, together = (embed_segments(encoder, spoken, 30, Budget(audio_s)) for audio_s in (0.1, 60.0))
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_the_same_input_gives_the_same_bits(self, speech_model: SpeechModels, engine: str) -> None:
        speech, spoken = load_speech_model(speech_model(LAYER)), segments(*LENGTHS)
        config = EncoderConfig(device="cpu", engine=engine)
        first, second = (embed_segments(next(encoders(speech, config)), spoken, 30, Budget(1)) for _ in "12")
        np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_silence_has_a_vector_and_nothing_has_none(self, speech_model: SpeechModels, engine: str) -> None:
        speech = load_speech_model(speech_model(LAYER))
        encoder = next(encoders(speech, EncoderConfig(device="cpu", engine=engine)))
        silence = speech.normalised(np.zeros(8000, np.float32))
        assert np.isfinite(embed_segments(encoder, [silence], 30, Budget(4))).all()
        assert embed_segments(encoder, [], 30, Budget(4)).shape == (0, 16)

    def test_reduced_precision_leaves_the_reference_alone(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        TorchEncoder(speech, "cpu", "bfloat16")
        assert {parameter.dtype for parameter in speech.network.parameters()} == {torch.float32}

    @pytest.mark.slow
    @pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch compiles with a C++ compiler")
    @pytest.mark.filterwarnings("ignore")  # of the compiler, which is not ours
    def test_a_compiled_model_gives_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # A cache of its own: a process that was killed leaves half of a library in the one that all share.
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
        # Each layer takes the compiler seconds.
        few = {"num_hidden_layers": 1, "conv_dim": (8, 8), "conv_kernel": (10, 16), "conv_stride": (5, 64)}
        model = save_speech_model(tmp_path / "model", LAYER, **few)
        speech, spoken = load_speech_model(model), segments(8000, 9000, 12_345, 30_000)
        (encoder,) = encoders(speech, EncoderConfig(device="cpu", engine="torch", precision="float32", compile=True))
        vectors = embed_segments(encoder, [speech.normalised(segment) for segment in spoken], 30, Budget(4))
        np.testing.assert_allclose(vectors, OneByOne(model).vectors(spoken), rtol=0, atol=1e-5)


class TestChoice:
    def test_the_fastest_come_first_and_torch_in_float32_last(self, speech_model: SpeechModels) -> None:
        found = ways(load_speech_model(speech_model(LAYER)))
        reduced = [precision for precision in [native_reduced_precision("cpu")] if precision]
        assert found == [(engine, p) for engine in ("openvino", "torch") for p in (*reduced, "float32")]

    def test_a_faster_reduced_precision_comes_before_float32(
        self, speech_model: SpeechModels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "urgency_dagster.calls.embedding.choice.native_reduced_precision"
        monkeypatch.setattr(name, lambda device: "bfloat16")
        found = ways(load_speech_model(speech_model(LAYER)), engine="torch")
        assert found == [("torch", "bfloat16"), ("torch", "float32")]

    @pytest.mark.usefixtures("without_openvino")
    def test_torch_takes_its_place_when_openvino_is_not_installed(self, speech_model: SpeechModels) -> None:
        assert {engine for engine, _ in ways(load_speech_model(speech_model(LAYER)))} == {"torch"}

    def test_what_is_asked_for_is_what_there_is(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        assert ways(speech, engine="torch", precision="float32") == [("torch", "float32")]
        assert ways(speech, engine="openvino", precision="bfloat16") == [("openvino", "bfloat16")]
        assert ways(speech, precision="float32") == [("openvino", "float32"), ("torch", "float32")]

    @pytest.mark.filterwarnings("ignore")  # of the compiler, which is not ours
    def test_what_torch_is_to_compile_runs_in_torch(self, speech_model: SpeechModels) -> None:
        assert {engine for engine, _ in ways(load_speech_model(speech_model(LAYER)), compile=True)} == {"torch"}

    def test_only_a_processor_that_gains_by_bfloat16_is_given_it(self) -> None:
        flags = Path("/proc/cpuinfo").read_text().split()
        native = "avx512_bf16" in flags or "amx_bf16" in flags
        # Without the instructions a product in bfloat16 takes minutes, and no rate would choose it.
        rates = [core_gflops(name, 2048) for name in ("bfloat16", "float32")] if native else [0.0, 1.0]
        gains = rates[0] > MIN_BFLOAT16_SPEEDUP * rates[1]
        assert native_reduced_precision("cpu") == ("bfloat16" if gains else None)
        assert native_reduced_precision("mps") is None

    @pytest.mark.parametrize(
        ("native", "bfloat16", "found"),
        [
            pytest.param(True, 898.0, "bfloat16", id="an EPYC"),
            pytest.param(True, 168.0, None, id="a Xeon without AMX"),
            pytest.param(True, 220.0, None, id="hardly faster"),
            pytest.param(False, 898.0, None, id="emulated"),
        ],
    )
    def test_that_a_processor_has_bfloat16_does_not_decide(
        self, monkeypatch: pytest.MonkeyPatch, native: bool, bfloat16: float, found: str | None
    ) -> None:
        rates = {"float32": 211.0, "bfloat16": bfloat16}
        monkeypatch.setattr("urgency_dagster.calls.embedding.choice.core_gflops", lambda precision: rates[precision])
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": native})
        assert native_reduced_precision("cpu") == found

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"engine": "tensorrt"}, "engine is 'tensorrt'; expected 'auto', 'torch' or 'openvino'"),
            ({"precision": "int8"}, "precision is 'int8'; expected 'auto', 'float32', 'bfloat16' or 'float16'"),
            ({"precision": "float16"}, "'float16' on a CPU"),
            ({"device": "toaster"}, "toaster"),
            ({"device": "meta", "engine": "openvino"}, "'openvino' on the device meta"),
            ({"engine": "openvino", "compile": True}, "compile with the engine 'openvino'"),
        ],
    )
    def test_what_does_not_exist_is_refused(
        self, speech_model: SpeechModels, asked: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(SettingsError, match=message):
            next(encoders(load_speech_model(speech_model(LAYER)), EncoderConfig(**{"device": "cpu", **asked})))

    @pytest.mark.usefixtures("without_openvino")
    def test_openvino_that_is_not_installed_is_refused(self, speech_model: SpeechModels) -> None:
        with pytest.raises(SettingsError, match=r"not installed.*pip install '\.\[openvino\]'"):
            next(encoders(load_speech_model(speech_model(LAYER)), EncoderConfig(device="cpu", engine="openvino")))


@pytest.mark.slow
def test_importing_the_room_loads_neither_torch_nor_openvino() -> None:
    heavy = "{'torch', 'openvino', 'transformers'}"
    code = f"import sys, urgency_dagster.calls.embedding.archive; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


class TestFormerChoice:
    """What an archive was embedded with is kept, so that a busy or another machine does not change its vectors."""

    def ways(self, speech: SpeechModel, made_by: str, made_in: str, **asked: Any) -> list[tuple[str, str]]:
        former = EncoderChoice(made_by, made_in, speech.weights_sha256)
        config = EncoderConfig(device="cpu", **asked)
        return [(encoder.engine, encoder.precision) for encoder in encoders(speech, config, former)]

    @pytest.mark.parametrize(("engine", "precision"), [("torch", "float32"), ("torch", "bfloat16")])
    def test_it_is_tried_first(self, speech_model: SpeechModels, engine: str, precision: str) -> None:
        speech = load_speech_model(speech_model(LAYER))
        found = self.ways(speech, engine, precision)
        assert found[0] == (engine, precision)
        assert ("torch", "float32") in found
        assert len(found) == len(set(found))

    def test_an_option_counts_more(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        assert self.ways(speech, "torch", "bfloat16", precision="float32")[0][1] == "float32"
        assert self.ways(speech, "torch", "float32", engine="openvino")[0][0] == "openvino"

    def test_a_library_that_is_not_installed_is_replaced(
        self, speech_model: SpeechModels, without_openvino: None
    ) -> None:
        assert self.ways(load_speech_model(speech_model(LAYER)), "openvino", "bfloat16")[0] == ("torch", "bfloat16")

    def test_a_precision_that_no_cpu_has_is_not_used(self, speech_model: SpeechModels) -> None:
        ways = self.ways(load_speech_model(speech_model(LAYER)), "torch", "float16")
        assert "float16" not in {precision for _, precision in ways}

    def test_it_is_stored_for_its_weights(self, speech_model: SpeechModels, tmp_path: Path) -> None:
        speech, other = (load_speech_model(speech_model(kind)) for kind in (LAYER, GROUP))
        file = tmp_path / "encoder.json"
        assert read_choice(file, speech) is None
        write_choice(file, TorchEncoder(speech, "cpu", "bfloat16"))
        assert read_choice(file, speech) == EncoderChoice("torch", "bfloat16", speech.weights_sha256)
        assert read_choice(file, other) is None

    @pytest.mark.parametrize("content", ["", "[]", "{}", "3"])
    def test_an_unreadable_one_is_none(self, speech_model: SpeechModels, tmp_path: Path, content: str) -> None:
        (tmp_path / "encoder.json").write_text(content)
        assert read_choice(tmp_path / "encoder.json", load_speech_model(speech_model(LAYER))) is None
