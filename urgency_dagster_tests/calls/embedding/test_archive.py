from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel

from urgency_dagster.calls.audio import cut, load_waveform
from urgency_dagster.calls.embedding.archive import embed_archive, embed_rows, utterance_rows
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.embedding.preparation import prepare_encoder
from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS, VERIFIED
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
from urgency_dagster.calls.embedding.summary import UNPADDED
from urgency_dagster.calls.embedding.verification import MIN_UTTERANCES_FOR_COSINE
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.errors import ArtefactError, AudioError, SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress
from urgency_dagster.tables import EMBEDDING, embeddings_schema
from urgency_dagster.writing import file_hash
from urgency_dagster_tests.calls.conftest import GROUP, LAYER, WIDE, SpeechModels, save_speech_model
from urgency_dagster_tests.calls.one_by_one import OneByOne
from urgency_dagster_tests.conftest import Builder

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHIVE = "T_x"
CONFORMER, BATCH_NORM = "wav2vec2-conformer layer", "hubert layer"


def unpaddable_model(folder: Path, kind: str) -> PretrainedModel:
    """A model whose configuration does not say that padding changes its vectors."""
    if kind == CONFORMER:
        return save_speech_model(folder, kind)
    model = save_speech_model(folder, kind, conv_pos_batch_norm=True)
    network = AutoModel.from_pretrained(folder)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for norm in norms:  # as after a training: zeros are no longer zeros behind it
        torch.nn.init.constant_(norm.get_buffer("running_mean"), 0.5)
    network.save_pretrained(folder)
    return model


TORCH = EmbeddingConfig(device="cpu", engine="torch", precision="float32", workers=1)


class TestArchives:
    def test_row_i_is_the_vector_of_utterance_i(self, extracted: StoragePaths, speech_model: SpeechModels) -> None:
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        rows = pq.read_table(extracted.archive(ARCHIVE).utterances).to_pylist()
        stored = pq.read_table(extracted.archive(ARCHIVE).embeddings).to_pylist()
        assert [(r["_id"], r["utterance_id"]) for r in stored] == [(r["_id"], r["utterance_id"]) for r in rows]
        one_by_one = OneByOne(speech_model())
        for row, vector in zip(rows, stored, strict=True):
            segment = cut(load_waveform(extracted.root / row["wav_file_path"]), row["startAt"], row["endAt"])
            np.testing.assert_allclose(vector[EMBEDDING], one_by_one.vector(segment), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    @pytest.mark.parametrize(
        ("shard", "workers"), [(1, 1), (2, 1), (4, 1), (5, 1), pytest.param(4, 2, marks=pytest.mark.slow)]
    )
    def test_shards_and_workers_change_nothing(
        self, extracted: StoragePaths, speech_model: SpeechModels, engine: str, shard: int, workers: int
    ) -> None:
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        expected = pq.read_table(extracted.archive(ARCHIVE).embeddings)
        config = TORCH.changed(engine=engine, batch_audio_s=1.5, shard_utterances=shard, workers=workers)
        extracted.archive(ARCHIVE).embeddings.unlink()
        summary = embed_archive(extracted, ARCHIVE, speech_model(), config)
        assert (summary.counts.computed, summary.engine) == (9, engine)
        found = pq.read_table(extracted.archive(ARCHIVE).embeddings)
        assert found.drop_columns(EMBEDDING).equals(expected.drop_columns(EMBEDDING))
        np.testing.assert_allclose(vectors(found), vectors(expected), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("afresh", [True, False])
    def test_a_second_run_writes_the_same_bytes(
        self, extracted: StoragePaths, speech_model: SpeechModels, afresh: bool
    ) -> None:
        target = extracted.archive(ARCHIVE).embeddings
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        first = target.read_bytes()
        if afresh:
            target.unlink()
        assert embed_archive(extracted, ARCHIVE, speech_model(), TORCH).counts.computed == (9 if afresh else 0)
        assert target.read_bytes() == first

    def test_the_file_names_its_model_and_the_step_its_counts(
        self, extracted: StoragePaths, speech_model: SpeechModels
    ) -> None:
        seen, told = [], []

        def progress(done: int, total: int, **figures: float) -> None:
            seen.append((done, total))
            told.append(figures)

        summary = embed_archive(extracted, ARCHIVE, speech_model(), TORCH.changed(shard_utterances=2), progress)
        schema = pq.read_schema(extracted.archive(ARCHIVE).embeddings)
        assert schema.equals(embeddings_schema(16))
        noted = {key.decode(): value.decode() for key, value in stored_metadata(extracted).items()}
        assert (
            noted.items()
            >= {
                "model": speech_model().name,
                "revision": "local",
                "weights_sha256": file_hash(speech_model().folder / "model.safetensors"),
                "precision": "float32",
                "audio_tokens": "1",
                "proved": "true",
            }.items()
        )
        assert {**summary.made_with, "proved": "true"} == {k: v for k, v in noted.items() if k != "ARROW:schema"}
        assert (summary.counts.utterances, summary.counts.calls, summary.audio_s, summary.width) == (9, 3, 6.3, 16)
        assert (summary.engine, summary.device) == ("torch", "cpu")
        assert (summary.counts.computed, summary.counts.reused, summary.counts.resumed) == (9, 0, 0)
        assert (summary.counts.shards, summary.counts.resumed_shards) == (3, 0), "a shard ends between two calls"
        assert seen == [(3, 9), (6, 9), (9, 9), (9, 9)]
        assert all(set(figures) == {"utterances_per_s", "x_real_time", "eta_s"} for figures in told)
        assert summary.points[-1][1] == pytest.approx(6.3)
        assert summary.figures["x_real_time"] * summary.seconds == pytest.approx(6.3, rel=0.2)

    @pytest.mark.parametrize("engine", ["torch", "auto"])
    def test_an_archive_with_nothing_kept_gives_an_empty_file(
        self, paths: StoragePaths, build: Builder, speech_model: SpeechModels, engine: str
    ) -> None:
        build.extracted(paths, ARCHIVE, *build.calls(build.label("a", utterances=[])))
        build_utterance_table(paths, ARCHIVE, workers=1)
        summary = embed_archive(paths, ARCHIVE, speech_model(), TORCH.changed(engine=engine))
        assert (summary.counts.utterances, summary.verification.passed) == (0, True)
        stored = pq.read_table(paths.archive(ARCHIVE).embeddings)
        assert (stored.num_rows, stored.schema.equals(embeddings_schema(16))) == (0, True)

    def test_damaged_float_samples_do_not_reach_the_vectors(
        self, paths: StoragePaths, build: Builder, speech_model: SpeechModels
    ) -> None:
        samples = bytearray(build.wav(subtype="FLOAT"))
        samples[-8000:-7996] = b"\xff" * 4  # not a number
        build.extracted(paths, ARCHIVE, {"a_1.wav": bytes(samples)}, {"a_1.json": build.json(build.label("a"))})
        build_utterance_table(paths, ARCHIVE, workers=1)
        embed_archive(paths, ARCHIVE, speech_model(), TORCH)
        found = vectors(pq.read_table(paths.archive(ARCHIVE).embeddings))
        assert found.shape == (3, 16)
        assert np.isfinite(found).all()

    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_an_utterance_has_as_many_vectors_as_asked_for_side_by_side(
        self, extracted: StoragePaths, speech_model: SpeechModels, engine: str
    ) -> None:
        config = TORCH.changed(engine=engine, audio_tokens=4)
        summary = embed_archive(extracted, ARCHIVE, speech_model(), config)
        assert (summary.verification.utterances, summary.verification.passed) == (9, True)
        assert (summary.width, summary.row_width, summary.made_with["audio_tokens"]) == (16, 64, "4")
        stored = pq.read_table(extracted.archive(ARCHIVE).embeddings)
        assert stored.schema.equals(embeddings_schema(64))
        assert stored_metadata(extracted)[b"audio_tokens"] == b"4"
        one_by_one = OneByOne(speech_model())
        rows = pq.read_table(extracted.archive(ARCHIVE).utterances).to_pylist()
        for row, found in zip(rows, vectors(stored), strict=True):
            segment = cut(load_waveform(extracted.root / row["wav_file_path"]), row["startAt"], row["endAt"])
            np.testing.assert_allclose(found.reshape(4, 16), one_by_one.spans(segment, 4), rtol=0, atol=1e-5)

    def test_more_vectors_than_an_utterance_may_have_frames_are_refused(
        self, extracted: StoragePaths, speech_model: SpeechModels
    ) -> None:
        with pytest.raises(SettingsError, match=r"audio_tokens is 25; expected from 1 to 24, the frames .* 500 ms"):
            embed_archive(extracted, ARCHIVE, speech_model(), TORCH.changed(audio_tokens=25))
        assert not extracted.archive(ARCHIVE).embeddings.exists()

    @pytest.mark.parametrize(
        ("shape", "most"), [({}, 24), ({"conv_dim": (8,), "conv_kernel": (400,), "conv_stride": (400,)}, 19)]
    )
    def test_the_shortest_utterances_can_have_the_most_vectors(
        self, paths: StoragePaths, build: Builder, tmp_path: Path, shape: dict[str, Any], most: int
    ) -> None:
        model = save_speech_model(tmp_path / "model", LAYER, **shape)
        starts = (0, 250, 501, 503)
        samples = [len(cut(np.zeros(48_000), start, start + 500)) for start in starts]
        assert samples == [8000, 8000, 7999, 7999], "some lose a sample when their times become samples"
        short = [build.utterance(n, startAt=start, endAt=start + 500) for n, start in enumerate(starts)]
        build.extracted(paths, ARCHIVE, *build.calls(build.label("a", utterances=short)))
        build_utterance_table(paths, ARCHIVE, workers=1)
        summary = embed_archive(paths, ARCHIVE, model, TORCH.changed(audio_tokens=most))
        assert (summary.counts.utterances, summary.verification.passed) == (len(starts), True)
        found = vectors(pq.read_table(paths.archive(ARCHIVE).embeddings))
        assert np.isfinite(found).all()
        assert found.reshape(-1, most, 16).any(axis=2).all(), "every span has a frame"
        with pytest.raises(SettingsError, match=f"audio_tokens is {most + 1}; expected from 1 to {most}, the frames"):
            embed_archive(paths, ARCHIVE, model, TORCH.changed(audio_tokens=most + 1))

    def test_an_archive_without_utterance_table_is_refused(
        self, paths: StoragePaths, speech_model: SpeechModels
    ) -> None:
        with pytest.raises(ArtefactError, match="utterance table"):
            embed_archive(paths, ARCHIVE, speech_model(), TORCH)

    @pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_a_recording_that_is_gone_leaves_the_former_file(
        self, extracted: StoragePaths, speech_model: SpeechModels, workers: int
    ) -> None:
        target, config = extracted.archive(ARCHIVE).embeddings, TORCH.changed(workers=workers)
        target.write_bytes(b"former")
        rows = utterance_rows(extracted, ARCHIVE)
        prepared = prepare_encoder(extracted.root, rows, load_speech_model(speech_model()), config)
        next(extracted.archive(ARCHIVE).audio.glob("*3_*.wav")).unlink()
        with pytest.raises(AudioError, match="not decodable"):
            embed_rows(extracted, ARCHIVE, rows, prepared, config)
        assert target.read_bytes() == b"former"
        assert not list(target.parent.glob("*.tmp")) + list(target.parent.glob(".*.tmp"))

    def test_a_long_segment_is_the_mean_over_its_parts(
        self, paths: StoragePaths, build: Builder, speech_model: SpeechModels
    ) -> None:
        long = [build.utterance(0, startAt=0, endAt=2900), build.utterance(1)]
        build.extracted(paths, ARCHIVE, *build.calls(build.label("a", utterances=long)))
        build_utterance_table(paths, ARCHIVE, workers=1)
        summary = embed_archive(paths, ARCHIVE, speech_model(), TORCH.changed(segment_max_s=1.0))
        assert summary.verification.passed
        in_parts = vectors(pq.read_table(paths.archive(ARCHIVE).embeddings))
        assert embed_archive(paths, ARCHIVE, speech_model(), TORCH).counts.computed == 2, "parts are another vector"
        whole = vectors(pq.read_table(paths.archive(ARCHIVE).embeddings))
        differences = np.abs(in_parts - whole).max(axis=1)
        assert differences[0] > 1e-3
        assert differences[1] < 1e-5


def stored_metadata(paths: StoragePaths) -> dict[bytes, bytes]:
    metadata: dict[bytes, bytes] = pq.read_metadata(paths.archive(ARCHIVE).embeddings).metadata
    return metadata


def vectors(table: pa.Table) -> np.ndarray:
    return np.array(table[EMBEDDING].to_pylist(), dtype=np.float32)


@pytest.fixture
def extracted(paths: StoragePaths, build: Builder) -> StoragePaths:
    """Four calls, the second without a kept utterance, and their utterance table."""
    short = [build.utterance(n, endAt=n * 1000 + 100) for n in range(3)]
    labels = [build.label(build.call_id(n), **({"utterances": short} if n == 1 else {})) for n in range(4)]
    build.extracted(paths, ARCHIVE, *build.calls(*labels))
    build_utterance_table(paths, ARCHIVE, workers=1)
    return paths


@pytest.fixture
def wide_model(tmp_path: Path) -> PretrainedModel:
    return save_speech_model(tmp_path / "wide", LAYER, **WIDE)


class Killed(BaseException):
    """Ends a run from outside, as a signal does."""


class TestResume:
    def stop_after(self, utterances: int) -> Progress:
        def progress(done: int, total: int, **figures: float) -> None:
            if done >= utterances:
                raise Killed

        return progress

    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_a_run_goes_on_at_the_last_whole_shard(
        self, extracted: StoragePaths, speech_model: SpeechModels, engine: str
    ) -> None:
        config = TORCH.changed(engine=engine, shard_utterances=3)
        target, shards = extracted.archive(ARCHIVE).embeddings, extracted.archive(ARCHIVE).shards
        embed_archive(extracted, ARCHIVE, speech_model(), config)
        undisturbed = target.read_bytes()
        assert not shards.exists()
        target.unlink()
        with pytest.raises(Killed):
            embed_archive(extracted, ARCHIVE, speech_model(), config, self.stop_after(6))
        assert len(list(shards.glob("*.npy"))) == 1
        assert not target.exists()
        summary = embed_archive(extracted, ARCHIVE, speech_model(), config)
        assert (summary.counts.computed, summary.counts.resumed, summary.counts.resumed_shards) == (6, 3, 1)
        assert target.read_bytes() == undisturbed
        assert not shards.exists()

    def test_a_run_that_was_killed_after_the_last_shard_embeds_nothing(
        self, extracted: StoragePaths, speech_model: SpeechModels
    ) -> None:
        config = TORCH.changed(shard_utterances=3)
        told = []

        def progress(done: int, total: int, **figures: float) -> None:
            told.append(done)
            if told.count(total) == 2:  # the file is there, the step has not ended
                raise Killed

        with pytest.raises(Killed):
            embed_archive(extracted, ARCHIVE, speech_model(), config, progress)
        before = extracted.archive(ARCHIVE).embeddings.read_bytes()
        assert embed_archive(extracted, ARCHIVE, speech_model(), config).counts.computed == 0
        assert extracted.archive(ARCHIVE).embeddings.read_bytes() == before

    def test_shards_of_another_number_of_vectors_do_not_count(
        self, extracted: StoragePaths, speech_model: SpeechModels
    ) -> None:
        config = TORCH.changed(shard_utterances=3)
        with pytest.raises(Killed):
            embed_archive(extracted, ARCHIVE, speech_model(), config, self.stop_after(6))
        summary = embed_archive(extracted, ARCHIVE, speech_model(), config.changed(audio_tokens=2))
        assert (summary.counts.computed, summary.counts.resumed) == (9, 0)

    def test_shards_of_another_model_do_not_count(
        self, extracted: StoragePaths, speech_model: SpeechModels, tmp_path: Path
    ) -> None:
        config = TORCH.changed(shard_utterances=3)
        with pytest.raises(Killed):
            embed_archive(extracted, ARCHIVE, speech_model(), config, self.stop_after(6))
        other = replace(save_speech_model(tmp_path / "other", LAYER), revision="other")
        assert embed_archive(extracted, ARCHIVE, other, config).counts.computed == 9


class TestReuse:
    CALLS = 10

    def send(self, paths: StoragePaths, build: Builder, *changed: int) -> None:
        """An archive of ten calls, some of which sound different from those sent before."""
        labels = [build.label(build.call_id(n)) for n in range(self.CALLS)]
        audio, texts = build.calls(*labels)
        for n in changed:
            audio[f"{build.call_id(n)}_20230101.wav"] = build.wav(seed=100 + n)
        build.extracted(paths, ARCHIVE, audio, texts)
        build_utterance_table(paths, ARCHIVE, workers=1)

    @pytest.mark.parametrize("shard", [1024, 7])
    def test_of_an_archive_that_is_sent_again_only_changed_calls_are_embedded(
        self, paths: StoragePaths, build: Builder, speech_model: SpeechModels, shard: int
    ) -> None:
        config, target = TORCH.changed(shard_utterances=shard), paths.archive(ARCHIVE).embeddings
        self.send(paths, build)
        embed_archive(paths, ARCHIVE, speech_model(), config)
        before = vectors(pq.read_table(target))
        self.send(paths, build, 4)
        summary = embed_archive(paths, ARCHIVE, speech_model(), config)
        assert (summary.counts.computed, summary.counts.reused, summary.counts.utterances) == (3, 27, 30)
        assert summary.audio_s == pytest.approx(21)
        assert summary.points[-1][1] == pytest.approx(2.1), "what is reused is no throughput"
        after = vectors(pq.read_table(target))
        same = np.delete(np.arange(30), [12, 13, 14])
        np.testing.assert_array_equal(after[same], before[same])
        assert np.abs(after[12:15] - before[12:15]).max() > 1e-3
        target.unlink()
        embed_archive(paths, ARCHIVE, speech_model(), config)
        np.testing.assert_allclose(vectors(pq.read_table(target)), after, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("changed", [{"revision": "other"}, {"name": "other"}])
    def test_another_model_embeds_all(
        self, extracted: StoragePaths, speech_model: SpeechModels, changed: dict[str, Any]
    ) -> None:
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        assert embed_archive(extracted, ARCHIVE, replace(speech_model(), **changed), TORCH).counts.computed == 9

    def test_other_weights_embed_all(self, extracted: StoragePaths, speech_model: SpeechModels, tmp_path: Path) -> None:
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        other = save_speech_model(tmp_path / "other", LAYER, num_hidden_layers=1)
        assert embed_archive(extracted, ARCHIVE, replace(other, name=speech_model().name), TORCH).counts.computed == 9

    def test_another_precision_embeds_all_and_the_same_one_none(
        self, extracted: StoragePaths, wide_model: PretrainedModel
    ) -> None:
        embed_archive(extracted, ARCHIVE, wide_model, TORCH)
        in_half = TORCH.changed(precision="bfloat16")
        assert embed_archive(extracted, ARCHIVE, wide_model, in_half).counts.computed == 9
        assert embed_archive(extracted, ARCHIVE, wide_model, in_half).counts.computed == 0

    def test_another_number_of_vectors_embeds_all_and_the_same_one_none(
        self, extracted: StoragePaths, speech_model: SpeechModels
    ) -> None:
        for tokens, computed in ((1, 9), (4, 9), (4, 0), (2, 9), (1, 9)):
            config = TORCH.changed(audio_tokens=tokens)
            summary = embed_archive(extracted, ARCHIVE, speech_model(), config)
            assert (summary.counts.computed, summary.verification.passed) == (computed, True)

    @pytest.mark.parametrize(("tokens", "computed"), [(1, 0), (2, 9)])
    def test_a_file_that_does_not_say_how_many_has_one_each(
        self, extracted: StoragePaths, speech_model: SpeechModels, tokens: int, computed: int
    ) -> None:
        target = extracted.archive(ARCHIVE).embeddings
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        noted = {name: value for name, value in stored_metadata(extracted).items() if name != AUDIO_TOKENS.encode()}
        table = pq.read_table(target)
        pq.write_table(table.replace_schema_metadata(noted), target)
        summary = embed_archive(extracted, ARCHIVE, speech_model(), TORCH.changed(audio_tokens=tokens))
        assert (summary.counts.computed, summary.row_width) == (computed, tokens * 16)

    def test_the_library_may_change(self, extracted: StoragePaths, speech_model: SpeechModels) -> None:
        embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        summary = embed_archive(extracted, ARCHIVE, speech_model(), TORCH.changed(engine="openvino"))
        assert (summary.counts.computed, summary.verification.passed) == (0, True)


class TestVerification:
    def test_the_written_vectors_are_verified(self, extracted: StoragePaths, speech_model: SpeechModels) -> None:
        verification = embed_archive(extracted, ARCHIVE, speech_model(), TORCH).verification
        assert (verification.utterances, verification.precision, verification.passed) == (9, "float32", True)
        assert verification.max_difference is not None
        assert 0 <= verification.max_difference < 1e-5

    def test_vectors_that_batching_changed_fail_and_are_not_reused(
        self, extracted: StoragePaths, speech_model: SpeechModels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A model that normalises over time, padded all the same: the verification must find this mistake.
        with monkeypatch.context() as patched:
            patched.setattr(SpeechModel, "can_pad", True)
            summary = embed_archive(extracted, ARCHIVE, speech_model(GROUP), TORCH)
            assert not summary.verification.passed
            assert summary.verification.max_difference is not None
            assert summary.verification.max_difference > 1e-4
        assert stored_metadata(extracted)[VERIFIED] == b"false"
        again = embed_archive(extracted, ARCHIVE, speech_model(GROUP), TORCH)
        assert (again.counts.computed, again.counts.reused, again.verification.passed) == (9, 0, True)

    @pytest.mark.parametrize("engine", ["torch", "auto"])
    @pytest.mark.parametrize("kind", [CONFORMER, BATCH_NORM])
    def test_a_model_that_padding_changes_is_embedded_without_it(
        self, extracted: StoragePaths, tmp_path: Path, kind: str, engine: str
    ) -> None:
        model = unpaddable_model(tmp_path / "model", kind)
        config = TORCH.changed(engine=engine)
        summary = embed_archive(extracted, ARCHIVE, model, config)
        assert summary.verification.passed
        assert (summary.made_with["padding"], summary.warning) == ("never", UNPADDED)
        again = embed_archive(extracted, ARCHIVE, model, config)
        assert (again.counts.reused, again.warning) == (9, UNPADDED), "the choice is kept"

    def test_padding_can_be_switched_off(self, extracted: StoragePaths, speech_model: SpeechModels) -> None:
        padded = embed_archive(extracted, ARCHIVE, speech_model(), TORCH)
        assert ("padding" in padded.made_with, padded.warning) == (False, "")
        unpadded = embed_archive(extracted, ARCHIVE, speech_model(), TORCH.changed(padding="never"))
        assert (unpadded.counts.computed, unpadded.verification.passed, unpadded.warning) == (9, True, UNPADDED)

    def test_the_fastest_precision_that_passes_is_chosen(
        self, extracted: StoragePaths, wide_model: PretrainedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        free = TORCH.changed(precision="auto")
        monkeypatch.setattr(
            "urgency_dagster.calls.embedding.choice.native_reduced_precision", lambda device: "bfloat16"
        )
        assert embed_archive(extracted, ARCHIVE, wide_model, free).verification.precision == "bfloat16"
        monkeypatch.setattr("urgency_dagster.calls.embedding.verification.MIN_COSINE", 1.0)
        assert embed_archive(extracted, ARCHIVE, wide_model, free).verification.precision == "float32"

    @pytest.mark.parametrize("precision", ["auto", "bfloat16"])
    def test_an_archive_too_small_for_a_cosine_is_embedded_in_float32(
        self, paths: StoragePaths, build: Builder, speech_model: SpeechModels, precision: str
    ) -> None:
        count = MIN_UTTERANCES_FOR_COSINE - 1
        label = build.label("a", utterances=[build.utterance(n) for n in range(count)])
        audio, labels = {"a_1.wav": build.wav(count * 1000)}, {"a_1.json": build.json(label)}
        build.extracted(paths, ARCHIVE, audio, labels)
        build_utterance_table(paths, ARCHIVE, workers=1)
        verification = embed_archive(paths, ARCHIVE, speech_model(), TORCH.changed(precision=precision)).verification
        assert (verification.utterances, verification.precision, verification.passed) == (count, "float32", True)

    def test_a_configured_precision_is_kept_even_if_it_does_not_pass(
        self, extracted: StoragePaths, speech_model: SpeechModels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("urgency_dagster.calls.embedding.verification.MIN_COSINE", 1.0)
        config = TORCH.changed(precision="bfloat16")
        verification = embed_archive(extracted, ARCHIVE, speech_model(), config).verification
        assert (verification.precision, verification.passed) == ("bfloat16", False)
