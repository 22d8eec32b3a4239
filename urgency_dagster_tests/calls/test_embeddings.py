import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModel

from urgency_dagster.calls.audio import SAMPLE_RATE, cut, load_waveform
from urgency_dagster.calls.embeddings import EmbeddingConfig, SpeechEncoder, batches, embed_archive, embed_in_batches
from urgency_dagster.calls.utterances import build_utterance_table
from urgency_dagster.errors import ArtefactError, ModelError, SettingsError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import EMBEDDING, embeddings_schema
from urgency_dagster_tests.calls.conftest import save_speech_model

ARCHIVE = "T_x"
LAYER, GROUP, HUBERT, WAVLM = "wav2vec2 layer", "wav2vec2 group", "hubert layer", "wavlm layer"
ON_CPU = EmbeddingConfig(device="cpu", workers=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Several threads only wait for each other on networks this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def encoder(speech_model):
    made: dict[str, SpeechEncoder] = {}

    def encode(kind: str = LAYER) -> SpeechEncoder:
        if kind not in made:
            made[kind] = SpeechEncoder(speech_model(kind), "cpu")
        return made[kind]

    return encode


def segments(*lengths: int) -> list[np.ndarray]:
    """Noise around different levels, so that a wrong normalisation shows."""
    rng = np.random.default_rng(0)
    return [rng.normal(rng.normal(), 0.1 + rng.random(), n).astype(np.float32) for n in lengths]


def one_at_a_time(model: PretrainedModel, waveform: np.ndarray) -> np.ndarray:
    """The original's way: no batch, no padding, mean over all frames."""
    extractor = AutoFeatureExtractor.from_pretrained(model.folder)
    network = AutoModel.from_pretrained(model.folder).eval()
    inputs = extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
    with torch.inference_mode():
        return network(inputs).last_hidden_state[0].mean(dim=0).numpy()


class TestVectors:
    @pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # WavLM's own
    @pytest.mark.parametrize("kind", [LAYER, GROUP, HUBERT, WAVLM])
    def test_a_batch_gives_what_each_segment_gives_alone(self, encoder, speech_model, kind):
        spoken = segments(8000, 8000, 8001, 9000, 12_345, 30_000, 8319, 8320)
        vectors = embed_in_batches(encoder(kind), spoken, batch_audio_s=4.0)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(spoken), 16)
        expected = np.stack([one_at_a_time(speech_model(kind), segment) for segment in spoken])
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
        assert np.abs(expected[0] - expected[1]).max() > 1e-3, "different segments have different vectors"

    @pytest.mark.parametrize("kind", [LAYER, GROUP])
    def test_the_budget_changes_nothing(self, encoder, kind):
        spoken = segments(8000, 24_000, 8000, 16_000, 9000)
        alone, together = (embed_in_batches(encoder(kind), spoken, budget) for budget in (0.1, 60.0))
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)

    def test_silence_has_a_vector(self, encoder):
        assert np.isfinite(embed_in_batches(encoder(), [np.zeros(8000, np.float32)], 4.0)).all()

    def test_no_segments_give_no_vectors(self, encoder):
        assert embed_in_batches(encoder(), [], 4.0).shape == (0, 16)

    @pytest.mark.parametrize("kind", [LAYER, HUBERT])
    @pytest.mark.parametrize("samples", [400, 719, 720, 8000, 8001, 15_999])
    def test_frames_are_counted_as_the_model_makes_them(self, encoder, speech_model, kind, samples):
        network = AutoModel.from_pretrained(speech_model(kind).folder).eval()
        with torch.inference_mode():
            made = network(torch.zeros(1, samples)).last_hidden_state.shape[1]
        assert encoder(kind).frames(samples) == made

    def test_width_and_padding_are_read_from_the_model(self, encoder):
        assert (encoder(LAYER).width, encoder(LAYER).can_pad) == (16, True)
        assert encoder(GROUP).can_pad is False


lengths_strategy = st.lists(st.integers(8000, 8010) | st.integers(8000, 200_000), max_size=30)


class TestBatches:
    @given(lengths=lengths_strategy, samples_max=st.integers(1, 400_000), can_pad=st.booleans())
    def test_every_position_is_in_one_batch(self, lengths, samples_max, can_pad):
        grouped = list(batches(lengths, samples_max, can_pad))
        assert sorted(position for batch in grouped for position in batch) == list(range(len(lengths)))
        assert all(grouped)

    @given(lengths=lengths_strategy, samples_max=st.integers(1, 400_000), can_pad=st.booleans())
    def test_a_padded_batch_keeps_the_budget_unless_it_is_one_segment(self, lengths, samples_max, can_pad):
        for batch in batches(lengths, samples_max, can_pad):
            assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= samples_max

    @given(lengths=lengths_strategy, samples_max=st.integers(1, 400_000))
    def test_without_padding_all_lengths_of_a_batch_are_equal(self, lengths, samples_max):
        assert all(len({lengths[i] for i in batch}) == 1 for batch in batches(lengths, samples_max, can_pad=False))

    def test_segments_that_fit_share_a_batch(self):
        assert len(list(batches([100] * 10, 1000, can_pad=True))) == 1
        assert len(list(batches([100] * 11, 1000, can_pad=True))) == 2


class TestModels:
    @pytest.fixture
    def folder(self, tmp_path: Path, speech_model) -> Path:
        """A copy of a good model, to be damaged."""
        return Path(shutil.copytree(speech_model(LAYER).folder, tmp_path / "model"))

    def load(self, folder: Path) -> SpeechEncoder:
        return SpeechEncoder(PretrainedModel(str(folder), folder, "local"), "cpu")

    def test_the_copy_is_good(self, folder):
        assert self.load(folder).width == 16

    @pytest.mark.parametrize("content", ["{}", "no json", "[]", '{"model_type": "nothing"}', '{"model_type": 3}'])
    def test_a_config_of_no_model_is_refused(self, folder, content):
        (folder / "config.json").write_text(content)
        with pytest.raises(ModelError, match="URGENCY_SPEECH_MODEL"):
            self.load(folder)

    @pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
    def test_a_missing_file_is_refused(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(ModelError, match="cannot be loaded as a speech model"):
            self.load(folder)

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
    @pytest.mark.parametrize("content", [b"", b"garbage" * 99])
    def test_damaged_weights_are_refused(self, folder, name, content):
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(content)
        with pytest.raises(ModelError, match="cannot be loaded as a speech model"):
            self.load(folder)

    def test_weights_of_another_size_are_refused(self, folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
        with pytest.raises(ModelError):
            self.load(folder)

    def test_missing_weights_are_not_filled_with_random_ones(self, folder):
        weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if "layers.1." not in k}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match="holds no weights"):
            self.load(folder)

    def test_weights_that_only_pretraining_needs_may_be_missing(self, folder):
        weights = load_file(folder / "model.safetensors")
        del weights["masked_spec_embed"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        assert self.load(folder).width == 16

    def test_a_text_model_is_refused(self, folder):
        config = {"model_type": "electra", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1}
        (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 1, "intermediate_size": 8}))
        with pytest.raises(ModelError, match="URGENCY_SPEECH_MODEL"):
            self.load(folder)

    def test_an_adapter_whose_frames_are_not_those_of_the_convolutions_is_refused(self, tmp_path):
        with pytest.raises(ModelError, match="adapter"):
            SpeechEncoder(save_speech_model(tmp_path, LAYER, add_adapter=True, output_hidden_size=16), "cpu")

    def test_a_model_for_another_rate_is_refused(self, folder):
        config = json.loads((folder / "preprocessor_config.json").read_text())
        (folder / "preprocessor_config.json").write_text(json.dumps({**config, "sampling_rate": 8000}))
        with pytest.raises(ModelError, match="8000 Hz"):
            self.load(folder)

    def test_an_impossible_device_is_refused(self, speech_model):
        with pytest.raises(SettingsError, match="toaster"):
            SpeechEncoder(speech_model(), "toaster")


class TestArchives:
    @pytest.fixture
    def extracted(self, paths, build):
        """Four calls, the second without a kept utterance, and their utterance table."""
        short = [build.utterance(n, endAt=n * 1000 + 100) for n in range(3)]
        labels = [build.label(build.call_id(n), **({"utterances": short} if n == 1 else {})) for n in range(4)]
        build.extracted(paths, ARCHIVE, *build.calls(*labels))
        build_utterance_table(paths, ARCHIVE, workers=1)
        return paths

    def test_row_i_is_the_vector_of_utterance_i(self, extracted, encoder, speech_model):
        embed_archive(extracted, ARCHIVE, encoder(), ON_CPU)
        rows = pq.read_table(extracted.archive(ARCHIVE).utterances).to_pylist()
        stored = pq.read_table(extracted.archive(ARCHIVE).embeddings).to_pylist()
        assert [(r["_id"], r["utterance_id"]) for r in stored] == [(r["_id"], r["utterance_id"]) for r in rows]
        for row, vector in zip(rows, stored, strict=True):
            segment = cut(load_waveform(extracted.root / row["wav_file_path"]), row["startAt"], row["endAt"])
            np.testing.assert_allclose(vector[EMBEDDING], one_at_a_time(speech_model(), segment), rtol=0, atol=1e-5)

    @pytest.mark.parametrize(("window", "workers"), [(1, 1), (2, 1), (4, 1), (5, 1), (4, 2)])
    def test_windows_and_workers_change_nothing(self, extracted, encoder, window, workers):
        embed_archive(extracted, ARCHIVE, encoder(), ON_CPU)
        expected = pq.read_table(extracted.archive(ARCHIVE).embeddings)
        config = EmbeddingConfig(batch_audio_s=1.5, window_utterances=window, device="cpu", workers=workers)
        embed_archive(extracted, ARCHIVE, encoder(), config)
        found = pq.read_table(extracted.archive(ARCHIVE).embeddings)
        assert found.drop_columns(EMBEDDING).equals(expected.drop_columns(EMBEDDING))
        vectors = [np.array(table[EMBEDDING].to_pylist()) for table in (found, expected)]
        np.testing.assert_allclose(*vectors, rtol=0, atol=1e-5)

    def test_a_second_run_writes_the_same_bytes(self, extracted, encoder):
        target = extracted.archive(ARCHIVE).embeddings
        embed_archive(extracted, ARCHIVE, encoder(), ON_CPU)
        first = target.read_bytes()
        embed_archive(extracted, ARCHIVE, encoder(), ON_CPU)
        assert target.read_bytes() == first

    def test_the_file_names_its_model_and_the_step_its_counts(self, extracted, encoder, speech_model):
        seen = []
        counts = embed_archive(
            extracted, ARCHIVE, encoder(), EmbeddingConfig(window_utterances=2, device="cpu", workers=1),
            lambda done, total, **figures: seen.append((done, total)),
        )  # fmt: skip
        schema = pq.read_schema(extracted.archive(ARCHIVE).embeddings)
        assert schema.equals(embeddings_schema(16))
        assert schema.metadata[b"model"] == speech_model().name.encode()
        assert (schema.metadata[b"revision"], schema.metadata[b"precision"]) == (b"local", b"float32")
        assert counts == {"utterances": 9, "calls": 3, "audio_s": 6.3, "width": 16, "device": "cpu"}
        assert seen == [(3, 9), (6, 9), (9, 9)], "a window ends between two calls, so that each is decoded once"

    def test_an_archive_with_nothing_kept_gives_an_empty_file(self, paths, build, encoder):
        build.extracted(paths, ARCHIVE, *build.calls(build.label("a", utterances=[])))
        build_utterance_table(paths, ARCHIVE, workers=1)
        assert embed_archive(paths, ARCHIVE, encoder(), ON_CPU)["utterances"] == 0
        stored = pq.read_table(paths.archive(ARCHIVE).embeddings)
        assert (stored.num_rows, stored.schema.equals(embeddings_schema(16))) == (0, True)

    def test_damaged_float_samples_do_not_reach_the_vectors(self, paths, build, encoder):
        samples = bytearray(build.wav(subtype="FLOAT"))
        samples[-8000:-7996] = b"\xff" * 4  # not a number
        build.extracted(paths, ARCHIVE, {"a_1.wav": bytes(samples)}, {"a_1.json": build.json(build.label("a"))})
        build_utterance_table(paths, ARCHIVE, workers=1)
        embed_archive(paths, ARCHIVE, encoder(), ON_CPU)
        vectors = np.array(pq.read_table(paths.archive(ARCHIVE).embeddings)[EMBEDDING].to_pylist())
        assert vectors.shape == (3, 16)
        assert np.isfinite(vectors).all()

    def test_an_archive_without_utterance_table_is_refused(self, paths, encoder):
        with pytest.raises(ArtefactError, match="utterance table"):
            embed_archive(paths, ARCHIVE, encoder(), ON_CPU)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_recording_that_is_gone_leaves_the_former_file(self, extracted, encoder, workers):
        target = extracted.archive(ARCHIVE).embeddings
        target.write_bytes(b"former")
        next(extracted.archive(ARCHIVE).audio.glob("*3_*.wav")).unlink()
        with pytest.raises(Exception, match="not decodable"):
            embed_archive(extracted, ARCHIVE, encoder(), EmbeddingConfig(device="cpu", workers=workers))
        assert target.read_bytes() == b"former"
        assert not list(target.parent.glob("*.tmp")) + list(target.parent.glob(".*.tmp"))
