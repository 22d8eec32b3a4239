"""The exported folder: it is complete, it answers as torch does, and it says how well."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel, RobertaConfig, RobertaModel

from urgency_dagster import extras, urgency
from urgency_dagster.errors import ArtefactError, MissingExtraError, SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, ModelConfig
from urgency_dagster.urgency.package import export
from urgency_dagster.urgency.package.export import ExportSummary, export_model
from urgency_dagster.urgency.package.openvino_network import FILE, OpenVinoNetwork, write_openvino
from urgency_dagster_tests.urgency.conftest import ARCHIVES, WORDS, Trained
from urgency_dagster_tests.urgency.test_predictor import stored_logits, validation_of

SAME = 1e-5
"""Observed are at most 6e-7. An export that differs by more than 1e-3 is refused."""


def copy_of(trained: Trained, folder: Path) -> StoragePaths:
    return StoragePaths(shutil.copytree(trained.paths.root, folder / "root"))


@pytest.fixture(scope="module")
def paths(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> StoragePaths:
    """A storage root for one export."""
    return copy_of(trained, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def exported(paths: StoragePaths) -> ExportSummary:
    return export_model(paths)


@pytest.fixture
def folder(paths: StoragePaths, exported: ExportSummary, tmp_path: Path) -> Path:
    """The exported folder alone, somewhere else."""
    return shutil.copytree(paths.urgency.export, tmp_path / "moved")


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> StoragePaths:
    return copy_of(trained, tmp_path)


@pytest.mark.parametrize("fixture", ["trained", "trained_on_spans"])
def test_openvino_answers_as_the_evaluation_did(request: pytest.FixtureRequest, tmp_path: Path, fixture: str) -> None:
    trained: Trained = request.getfixturevalue(fixture)
    paths = copy_of(trained, tmp_path)
    summary = export_model(paths)
    of_side = validation_of(trained)
    model = urgency.load_model(paths.urgency.export, engine="openvino")
    logits = model.logits(of_side.texts, of_side.vectors)
    for task in ("urgency", "sentiment"):
        np.testing.assert_allclose(getattr(logits, task), stored_logits(trained, task), rtol=0, atol=SAME)
    assert summary.utterances == len(of_side.texts)
    assert 0 <= summary.max_difference < SAME


def test_calls_are_answered_with_the_same_probabilities(trained: Trained, folder: Path) -> None:
    of_side = validation_of(trained)
    given = of_side.texts, of_side.vectors, of_side.calls
    ours = urgency.load_model(trained.paths.urgency.model, "cpu").predict_utterances(*given)
    theirs = urgency.load_model(folder, engine="openvino").predict_utterances(*given)
    assert theirs.provenance == ours.provenance
    for one, other in zip(ours.calls, theirs.calls, strict=True):
        assert other.call == one.call
        assert (other.abstain, other.alarm) == (one.abstain, one.alarm)
        for task in ("urgency", "sentiment"):
            expected = getattr(one, task).probabilities
            assert getattr(other, task).probabilities == pytest.approx(expected, abs=SAME)


def test_the_folder_is_the_model_folder_with_the_network_beside_the_weights(trained: Trained, folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    model = trained.paths.urgency.model
    of_model = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert names - of_model == {"openvino/openvino_model.xml", "openvino/openvino_model.bin"}
    for name in of_model - {"card.json", "README.md"}:
        assert (folder / name).read_bytes() == (model / name).read_bytes()
    assert urgency.load_model(folder, "cpu").predict_utterances(["네"], np.zeros((1, 12), np.float32)).utterances


def test_the_card_says_how_well_the_networks_agree(exported: ExportSummary, folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["openvino"] == {
        "openvino": exported.openvino,
        "utterances": exported.utterances,
        "max_difference": exported.max_difference,
    }
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| network in OpenVINO {exported.openvino} | its logits differ by at most" in readme


def test_a_model_folder_without_the_network_says_what_to_do(trained: Trained) -> None:
    assert "OpenVINO" not in (trained.paths.urgency.model / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"model/openvino/openvino_model\.xml cannot be read.* urgency_export"):
        urgency.load_model(trained.paths.urgency.model, engine="openvino")


@pytest.mark.parametrize("name", ["openvino_model.xml", "openvino_model.bin"])
@pytest.mark.parametrize("content", [None, b"", b"<net"])
def test_a_damaged_network_is_refused(folder: Path, name: str, content: bytes | None) -> None:
    file = folder / FILE.parent / name
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(ArtefactError, match="cannot be read"):
        urgency.load_model(folder, engine="openvino")


def test_another_engine_or_device_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="the engine 'onnx'; expected torch or openvino"):
        urgency.load_model(folder, engine="onnx")  # type: ignore[arg-type] # that is the case
    with pytest.raises(SettingsError, match="'openvino' on the device 'cuda'"):
        urgency.load_model(folder, "cuda", engine="openvino")


def test_exporting_again_gives_the_same_bytes(paths: StoragePaths, exported: ExportSummary) -> None:
    files = [path for path in sorted(paths.urgency.export.rglob("*")) if path.is_file()]
    first = [path.read_bytes() for path in files]
    export_model(paths)
    changed = [path.name for path, before in zip(files, first, strict=True) if path.read_bytes() != before]
    assert changed == []


def test_several_threads_may_ask_one_model(folder: Path) -> None:
    model = urgency.load_model(folder, engine="openvino")
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(64, 12)).astype(np.float32) for _ in range(24)]
    texts = ["여기 호흡 빨리 의식"] * 64
    expected = [model.logits(texts, of_thread).urgency for of_thread in vectors]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda of_thread: model.logits(texts, of_thread).urgency, vectors))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=SAME)


def test_nothing_personal_is_in_the_folder(trained: Trained, folder: Path) -> None:
    """No path of a machine, no text and no id of a call."""
    known = {word for words in WORDS.values() for word in words}  # the text model's own vocabulary
    tables = [pq.read_table(trained.paths.archive(archive).utterances) for archive in ARCHIVES]
    texts = {text for table in tables for text in table["text"].to_pylist()} - known
    ids = {call for table in tables for call in table["_id"].to_pylist()}
    places = {str(trained.paths.root), str(Path.home()), str(Path(export.__file__).parents[3])} - {"/"}
    secrets = [secret.encode() for secret in texts | ids | places if len(secret) > 4]
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert [secret for secret in secrets if secret in content] == [], path.name


def test_a_network_that_disagrees_is_not_exported(copied: StoragePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(self: OpenVinoNetwork, *inputs: torch.Tensor) -> Any:
        logits = right(self, *inputs)
        return logits._replace(urgency=logits.urgency + 2e-3)

    right = OpenVinoNetwork.forward
    monkeypatch.setattr(OpenVinoNetwork, "forward", shifted)
    with pytest.raises(ArtefactError, match=r"differ by 0\.002; expected at most 0\.001"):
        export_model(copied)
    assert not copied.urgency.export.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda paths: shutil.rmtree(paths.urgency.model), "no card"),
        (lambda paths: shutil.rmtree(paths.urgency.training_set), "no training set"),
        (lambda paths: paths.archive("V_광주_구급").vectors.unlink(), "vectors"),
    ],
)
def test_without_a_model_or_its_data_nothing_is_exported(
    copied: StoragePaths, change: Callable[[StoragePaths], object], message: str
) -> None:
    change(copied)
    with pytest.raises(ArtefactError, match=message):
        export_model(copied)
    assert not copied.urgency.export.exists()


def test_a_model_of_another_training_set_is_not_exported(copied: StoragePaths) -> None:
    card = json.loads((copied.urgency.model / "card.json").read_text(encoding="utf-8"))
    (copied.urgency.model / "card.json").write_text(json.dumps(card | {"data_sha256": "0"}), encoding="utf-8")
    with pytest.raises(ArtefactError, match="another training set"):
        export_model(copied)


def test_without_openvino_the_extra_is_named(trained: Trained, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    for ask in (lambda: export_model(trained.paths), lambda: urgency.load_model(folder, engine="openvino")):
        with pytest.raises(MissingExtraError, match="the extra `openvino`"):
            ask()


def test_at_most_so_many_utterances_are_compared(copied: StoragePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_COMPARED", 7)
    assert export_model(copied).utterances == 7


ENCODERS = {
    "electra": (ElectraModel, ElectraConfig, {"embedding_size": 16}),
    "bert": (BertModel, BertConfig, {}),
    "roberta": (RobertaModel, RobertaConfig, {}),
}
SHAPES = ((1, 1), (1, 64), (3, 5), (2, 8), (64, 17))
"""Utterances and tokens; (2, 8) is the example of the conversion."""


@pytest.mark.parametrize("tokens", [1, 4])
@pytest.mark.parametrize("family", ENCODERS)
def test_any_number_of_utterances_and_tokens_is_computed(tmp_path: Path, family: str, tokens: int) -> None:
    kind, config, more = ENCODERS[family]
    sizes: dict[str, int] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    encoder = kind(config(vocab_size=50, intermediate_size=32, max_position_embeddings=70, **sizes, **more))
    shape = ModelConfig(32, 12, 3, 2, audio_tokens=tokens)
    network = KoElectraCrossModal(encoder, shape).eval()
    write_openvino(tmp_path, network, shape)
    exported = OpenVinoNetwork(tmp_path)
    for utterances, length in SHAPES:
        ids = torch.randint(5, 50, (utterances, length))
        mask = (torch.arange(length) < 1 + torch.arange(utterances)[:, None]).long()
        audio = torch.randn(utterances, tokens, 12)
        with torch.inference_mode():
            expected = network(ids, mask, audio)
        for one, other in zip(exported(ids, mask, audio), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=SAME)
