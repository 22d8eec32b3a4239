import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModel

from urgency_dagster import urgency
from urgency_dagster.errors import ArtefactError, UrgencyError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import read_training_set
from urgency_dagster.urgency.data.tables import DEVELOPMENT
from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal
from urgency_dagster.urgency.network.inference import predict_logits
from urgency_dagster.urgency.package.checkpoints import read_checkpoint
from urgency_dagster.urgency.package.model_folder import load_urgency_model, read_card
from urgency_dagster.writing import read_json, write_json
from urgency_dagster_tests.json_damage import damaged
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST, WORDS, Trained


@pytest.fixture
def moved(trained: Trained, tmp_path: Path) -> Path:
    """The model folder alone, somewhere else."""
    return shutil.copytree(trained.paths.urgency.model, tmp_path / "moved")


@pytest.fixture
def development(trained: Trained, moved: Path) -> UtteranceDataset:
    rows = read_training_set(trained.paths).side(DEVELOPMENT)
    model = load_urgency_model(moved)
    return UtteranceDataset(trained.paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))


def test_the_folder_gives_the_logits_of_the_checkpoint(
    trained: Trained, moved: Path, development: UtteranceDataset, text_model: PretrainedModel
) -> None:
    model = load_urgency_model(moved)
    encoder = AutoModel.from_pretrained(text_model.folder, local_files_only=True)
    network = KoElectraCrossModal(encoder, model.config)
    network.load_state_dict(read_checkpoint(trained.paths.urgency.checkpoint)["model_state_dict"])
    stored, expected = (
        predict_logits(some, development, batch_size=FAST.batch_size, device="cpu") for some in (model.network, network)
    )
    np.testing.assert_array_equal(stored.urgency, expected.urgency)
    np.testing.assert_array_equal(stored.sentiment, expected.sentiment)


def test_the_folder_predicts_as_in_training(trained: Trained, moved: Path, development: UtteranceDataset) -> None:
    model = load_urgency_model(moved)
    logits = predict_logits(model.network, development, batch_size=FAST.batch_size, device="cpu")
    measured = read_checkpoint(trained.paths.urgency.checkpoint)["val_metrics"]
    assert logits.urgency.argmax(axis=1).tolist() == measured["preds_urg"]


def test_the_folder_holds_labels_and_maximum_length(moved: Path) -> None:
    model = load_urgency_model(moved)
    assert model.labels.urgency == ("하", "중", "상")
    assert model.labels.sentiment == ("당황/난처", "불안/걱정")
    assert model.max_length == 64
    assert not model.network.training


def test_no_file_is_a_pickle_or_names_its_origin(moved: Path, text_model: PretrainedModel) -> None:
    files = [path for path in moved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}
    assert not any(str(text_model.folder.parent).encode() in path.read_bytes() for path in files)


def test_no_text_or_call_id_is_in_the_model(trained: Trained, moved: Path) -> None:
    known = {word for words in WORDS.values() for word in words}  # the text model's own vocabulary
    for archive in ARCHIVES:
        rows = pq.read_table(trained.paths.archive(archive).utterances)
        secrets = set(rows["text"].to_pylist()) - known | set(rows["_id"].to_pylist())
        for path in [*moved.rglob("*"), trained.paths.urgency.checkpoint]:
            content = path.read_bytes() if path.is_file() else b""
            assert not any(secret.encode() in content for secret in secrets if len(secret) > 4), path.name


def test_loading_leaves_the_random_state_alone(moved: Path) -> None:
    before = torch.random.get_rng_state()
    load_urgency_model(moved)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_card_describes_the_model(trained: Trained, moved: Path) -> None:
    card = read_card(moved)
    assert card["data_sha256"] == trained.summary.data_sha256
    assert card["metrics"]["urg_f1"] == trained.summary.best.urg_f1
    assert card["utterances"] == read_training_set(trained.paths).summary.utterances
    readme = (moved / "README.md").read_text(encoding="utf-8")
    assert "Intended use" in readme
    assert "0 하 (low), 1 중 (mid), 2 상 (high)" in readme


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "text_encoder/config.json"])
def test_a_missing_file_is_refused(moved: Path, name: str) -> None:
    (moved / name).unlink()
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        load_urgency_model(moved)


def test_damaged_weights_are_refused(moved: Path) -> None:
    (moved / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        load_urgency_model(moved)


def test_weights_of_another_shape_are_refused(moved: Path) -> None:
    config = json.loads((moved / "config.json").read_text(encoding="utf-8"))
    config["network"]["audio_width"] += 1
    (moved / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        load_urgency_model(moved)


def test_a_model_without_audio_tokens_takes_one_vector(moved: Path) -> None:
    config = json.loads((moved / "config.json").read_text(encoding="utf-8"))
    assert config["network"].pop("audio_tokens") == 1
    (moved / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_urgency_model(moved).config.audio_tokens == 1


@pytest.mark.parametrize(
    ("fixture", "line"),
    [
        ("trained", "| audio vectors | 1 of 12 values: the mean over time of the"),
        ("trained_on_spans", "| audio vectors | 4 of 12 values: the means over 4 equal spans of time of the"),
    ],
)
def test_the_folder_holds_the_number_of_audio_vectors(request: pytest.FixtureRequest, fixture: str, line: str) -> None:
    urgency = request.getfixturevalue(fixture).paths.urgency
    tokens = load_urgency_model(urgency.model).config.audio_tokens
    assert f"| {tokens} of" in line
    assert read_card(urgency.model)["audio_tokens"] == tokens
    assert read_checkpoint(urgency.checkpoint)["audio_tokens"] == tokens
    assert line in (urgency.model / "README.md").read_text(encoding="utf-8")


def test_no_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no card"):
        read_card(tmp_path)


@pytest.mark.parametrize("name", ["card.json", "config.json"])
@given(drawn=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_damaged_json_is_refused_or_the_model_answers(
    trained: Trained, moved: Path, name: str, drawn: st.DataObject
) -> None:
    stored = drawn.draw(damaged(read_json(trained.paths.urgency.model / name)))
    (moved / name).write_text(json.dumps(stored), encoding="utf-8")
    try:
        model = urgency.load_model(moved, "cpu")
        (call,) = model.predict_utterances(["네 여기 호흡"], np.zeros((1, 12), np.float32), ["a"]).calls
    except UrgencyError:
        return
    assert sum(call.urgency.probabilities.values() if call.urgency else [1]) == pytest.approx(1)


@pytest.mark.parametrize("name", ["card.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff", b"{}"])
def test_json_of_another_shape_is_refused_or_says_nothing(moved: Path, name: str, content: bytes) -> None:
    """An empty card says nothing of the model, as that of an old checkpoint."""
    (moved / name).write_bytes(content)
    if (name, content) == ("card.json", b"{}"):
        assert urgency.load_model(moved, "cpu").provenance.speech_model == {}
        return
    with pytest.raises(ArtefactError):
        urgency.load_model(moved, "cpu")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("network", "text_width"), 1 << 40),
        (("network", "audio_width"), 1 << 40),
        (("network", "attention_heads"), 0),
        (("labels", "urgency"), "상중하"),
        (("labels", "urgency"), ["하", "중"]),
        (("temperatures", "call"), {"urgency": 1.0}),
        (("temperatures", "call", "urgency"), 0),
        (("thresholds", "answer_from"), "0.5"),
        (("max_length",), 0),
    ],
)
def test_a_damaged_value_of_the_configuration_is_refused(moved: Path, place: tuple[str, ...], value: object) -> None:
    stored = read_json(moved / "config.json")
    part = stored
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    write_json(moved / "config.json", stored)
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        load_urgency_model(moved)


def test_a_speaker_model_of_other_vectors_is_refused(moved: Path) -> None:
    write_json(moved / "speaker.json", {"weights": [0.0] * 5, "bias": 0.0, "scores": {}})
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        load_urgency_model(moved)
