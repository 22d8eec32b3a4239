import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from urgency_dagster.calls.embedding import openvino_encoder
from urgency_dagster.calls.embedding.batching import Budget, embed_segments, pieces_of
from urgency_dagster.calls.embedding.choice import encoders
from urgency_dagster.calls.embedding.configuration import EncoderConfig
from urgency_dagster.calls.embedding.encoder import Piece
from urgency_dagster.calls.embedding.openvino_encoder import OpenVinoEncoder, _channels_last
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
from urgency_dagster.errors import ModelError
from urgency_dagster_tests.calls.conftest import GROUP, LAYER, SpeechModels
from urgency_dagster_tests.calls.one_by_one import segments

pytestmark = pytest.mark.usefixtures("one_thread")


class Untraceable(nn.Module):
    """A network that no tracer can follow: its output is no tensor."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.config, self.feature_extractor = network.config, network.feature_extractor

    def forward(self, *args: object, **kwargs: object) -> tuple[str]:
        return ("no tensor",)


def test_the_convolutions_as_products_are_the_convolutions(speech_model: SpeechModels) -> None:
    network = load_speech_model(speech_model(LAYER)).network
    changed: Any = _channels_last(network)
    for samples in (400, 8000, 8001, 8319, 24_000):
        waveform = torch.randn(2, samples)
        with torch.inference_mode():
            torch.testing.assert_close(
                changed.feature_extractor(waveform), network.feature_extractor(waveform), rtol=1e-4, atol=1e-4
            )


def test_the_network_itself_is_left_as_it_was(speech_model: SpeechModels) -> None:
    network = load_speech_model(speech_model(LAYER)).network
    extractor = network.feature_extractor
    assert _channels_last(network).feature_extractor is not extractor
    assert network.feature_extractor is extractor


def test_a_network_that_normalises_over_time_is_not_rewritten(speech_model: SpeechModels) -> None:
    network = load_speech_model(speech_model(GROUP)).network
    assert _channels_last(network) is network


class TestVectors:
    def test_they_come_in_the_order_of_the_batches(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        encoder = OpenVinoEncoder(speech, "float32")
        spoken = list(pieces_of(segments(*range(8000, 40_000, 1000)), 480_000, speech.frames, 2))
        batches = [[spoken[0]], spoken[20:], [spoken[1]], spoken[2:9], *([piece] for piece in spoken[9:20])]
        found = list(encoder.vectors(batches))
        assert [len(vectors) for vectors in found] == [len(batch) for batch in batches]
        for batch, vectors in zip(batches, found, strict=True):
            alone = np.concatenate(list(encoder.vectors([piece] for piece in batch)))
            np.testing.assert_allclose(vectors, alone, rtol=0, atol=1e-5)

    def test_a_consumer_that_stops_early_leaves_the_encoder_usable(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        encoder = OpenVinoEncoder(speech, "float32")
        spoken = list(pieces_of(segments(8000, 24_000, 9000, 16_000, 30_000), 480_000, speech.frames))
        expected = list(encoder.vectors([piece] for piece in spoken))
        for _ in range(3):
            started = encoder.vectors([piece] for piece in spoken)
            next(started)
            started.close()  # type: ignore[attr-defined]
            for vectors, wanted in zip(encoder.vectors([piece] for piece in spoken), expected, strict=True):
                np.testing.assert_array_equal(vectors, wanted)

    def test_threads_that_share_it_get_their_own_vectors(self, speech_model: SpeechModels) -> None:
        speech = load_speech_model(speech_model(LAYER))
        encoder = OpenVinoEncoder(speech, "float32")
        spoken = list(pieces_of(segments(*range(8000, 40_000, 1000)), 480_000, speech.frames))
        shares = [spoken[start::4] for start in range(4)]

        def vectors(share: list[Piece]) -> np.ndarray:
            return np.concatenate(list(encoder.vectors([piece] for piece in share)))

        expected = [vectors(share) for share in shares]
        with ThreadPoolExecutor(4) as threads:
            for _ in range(5):
                for found, wanted in zip(threads.map(vectors, shares), expected, strict=True):
                    np.testing.assert_array_equal(found, wanted)


class TestUntraceable:
    @pytest.fixture
    def speech(self, speech_model: SpeechModels) -> SpeechModel:
        speech = load_speech_model(speech_model(GROUP))
        return replace(speech, network=Untraceable(speech.network))

    def test_it_is_refused_when_openvino_is_asked_for(self, speech: SpeechModel) -> None:
        with pytest.raises(ModelError, match=r"cannot be converted by OpenVINO; .*engine: torch"):
            next(encoders(speech, EncoderConfig(device="cpu", engine="openvino")))

    def test_torch_takes_its_place_when_nothing_is_asked_for(self, speech: SpeechModel) -> None:
        assert next(encoders(speech, EncoderConfig(device="cpu"))).engine == "torch"


@pytest.mark.slow
def test_the_library_is_loaded_without_what_reports_its_use() -> None:
    code = """
import sys
from urgency_dagster.openvino_runtime import import_openvino
import_openvino()
from openvino.tools.ovc import telemetry_utils
print(sys.modules["openvino_telemetry"], telemetry_utils.tm.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None openvino.tools.ovc.telemetry_stub"


def test_more_batches_than_requests_and_a_tight_budget(speech_model: SpeechModels) -> None:
    speech = load_speech_model(speech_model(LAYER))
    spoken = segments(*range(8000, 16_000, 250))
    encoder = OpenVinoEncoder(speech, "float32")
    np.testing.assert_allclose(
        embed_segments(encoder, spoken, 30, Budget(0.1)),
        embed_segments(encoder, spoken, 30, Budget(10)),
        rtol=0,
        atol=1e-5,
    )


class TestKeptModel:
    """The converted model is kept on disk, because converting it takes longer than a small archive."""

    def vectors(self, encoder: OpenVinoEncoder) -> np.ndarray:
        spoken = [encoder.speech.normalised(segment) for segment in segments(8000, 12_345, 30_000)]
        return embed_segments(encoder, spoken, 30, Budget(4))

    def test_it_gives_the_same_bits(self, speech_model: SpeechModels, tmp_path: Path) -> None:
        speech = load_speech_model(speech_model(LAYER))
        expected = self.vectors(OpenVinoEncoder(speech, "float32"))
        for _ in range(2):  # converted and stored, then read
            assert self.vectors(OpenVinoEncoder(speech, "float32", tmp_path)).tobytes() == expected.tobytes()

    def test_it_is_converted_once(
        self, speech_model: SpeechModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        speech = load_speech_model(speech_model(LAYER))
        OpenVinoEncoder(speech, "float32", tmp_path)
        monkeypatch.setattr(openvino_encoder, "_converted", lambda *_: pytest.fail("converted again"))
        OpenVinoEncoder(speech, "float32", tmp_path)

    def test_a_damaged_one_is_converted_again(self, speech_model: SpeechModels, tmp_path: Path) -> None:
        speech = load_speech_model(speech_model(LAYER))
        expected = self.vectors(OpenVinoEncoder(speech, "float32", tmp_path))
        (stored,) = tmp_path.rglob("model.xml")
        stored.write_text("<net", encoding="utf-8")
        assert self.vectors(OpenVinoEncoder(speech, "float32", tmp_path)).tobytes() == expected.tobytes()

    def test_other_weights_are_another_model(self, speech_model: SpeechModels, tmp_path: Path) -> None:
        for kind in (LAYER, GROUP):
            OpenVinoEncoder(load_speech_model(speech_model(kind)), "float32", tmp_path)
        assert len(list(tmp_path.rglob("model.xml"))) == 2
