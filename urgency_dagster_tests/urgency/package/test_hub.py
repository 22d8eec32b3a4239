"""A model folder is a repository of the Hugging Face Hub: card, upload and download, with the Hub's own library."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi, ModelCard, constants

from urgency_dagster import urgency
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.package.cards import card_text
from urgency_dagster.urgency.package.export import export_model
from urgency_dagster_tests.urgency.conftest import Trained
from urgency_dagster_tests.urgency.package.local_hub import Hub, local_hub

REPOSITORY = "team/urgency"
TEXTS, VECTORS = ["여기 호흡", "네"], np.ones((2, 12), np.float32)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with local_hub() as running:
        yield running


@pytest.fixture(scope="module")
def export(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = StoragePaths(shutil.copytree(trained.paths.root, tmp_path_factory.mktemp("exported") / "root"))
    export_model(paths)
    return paths.urgency.export


@pytest.fixture
def card(trained: Trained) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((trained.paths.urgency.model / "card.json").read_text(encoding="utf-8"))
    return stored


def metadata_of(text: str) -> dict[str, Any]:
    values: dict[str, Any] = ModelCard(text).data.to_dict()  # type: ignore[no-untyped-call] # the library's
    return values


@pytest.mark.parametrize(
    ("arithmetic", "row"),
    [
        ([("torch", "float32")], "torch in float32"),
        (
            [("openvino", "bfloat16"), ("torch", "float32")],
            "openvino in bfloat16, torch in float32; recordings are answered in float32",
        ),
        ([("", "")], "unknown library in unknown precision"),
        ([], "not known"),
    ],
)
def test_the_readme_names_the_arithmetic_of_the_vectors(
    card: dict[str, Any], arithmetic: list[tuple[str, str]], row: str
) -> None:
    card["arithmetic"] = [{"engine": engine, "precision": precision} for engine, precision in arithmetic]
    assert f"| arithmetic of the training vectors | {row} |\n" in card_text(card)


def test_a_card_of_a_former_version_does_not_know_the_arithmetic(card: dict[str, Any]) -> None:
    del card["arithmetic"]
    assert "| arithmetic of the training vectors | not known |\n" in card_text(card)


def test_the_readme_is_a_model_card(trained: Trained, export: Path) -> None:
    for folder, tags in ((trained.paths.urgency.model, []), (export, ["openvino"])):
        loaded = ModelCard.load(folder / "README.md")
        assert metadata_of(loaded.content) == {
            "language": "ko",
            "library_name": "urgency-dagster",
            "pipeline_tag": "audio-classification",
            "tags": ["emergency-calls", "urgency", "sentiment", *tags],
        }
        assert loaded.text.lstrip().startswith("# KoElectraCrossModal")


def test_the_card_names_a_text_model_of_the_hub_and_no_local_one(card: dict[str, Any]) -> None:
    assert "base_model" not in metadata_of(card_text(card))
    of_hub = card | {"text_model": {"name": "monologg/koelectra-base-v3-discriminator", "revision": "b" * 40}}
    assert metadata_of(card_text(of_hub))["base_model"] == "monologg/koelectra-base-v3-discriminator"


@pytest.mark.parametrize("name", ["team/a: b", "team/#1", "team/'x'", "team/[y]", "team/급"])
def test_any_name_is_valid_yaml(card: dict[str, Any], name: str) -> None:
    text = card_text(card | {"text_model": {"name": name, "revision": ""}})
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == name


def test_uploaded_and_downloaded_it_answers_the_same(export: Path, hub: Hub, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token="hf_of_a_test")
    api.create_repo(REPOSITORY, private=True)
    api.upload_folder(repo_id=REPOSITORY, folder_path=export)
    assert hub.created["visibility"] == "private"
    assert set(hub.cards) == {(export / "README.md").read_text(encoding="utf-8")}
    assert hub.files == {
        path.relative_to(export).as_posix(): path.read_bytes() for path in export.rglob("*") if path.is_file()
    }
    folder = api.snapshot_download(REPOSITORY, cache_dir=tmp_path)
    assert str(tmp_path) in folder
    ours, theirs = (urgency.load_model(place, "cpu") for place in (export, folder))
    assert theirs.predict_utterances(TEXTS, VECTORS, [1, 1]) == ours.predict_utterances(TEXTS, VECTORS, [1, 1])
    in_openvino = urgency.load_model(folder, engine="openvino").logits(TEXTS, VECTORS)
    np.testing.assert_allclose(in_openvino.urgency, ours.logits(TEXTS, VECTORS).urgency, rtol=0, atol=1e-5)
