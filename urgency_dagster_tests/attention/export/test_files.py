"""Exporting: what the files and the card hold."""

import dataclasses
import hashlib
import sys

import numpy as np
import pytest

from urgency_dagster.attention import export_models, load_model, write_results
from urgency_dagster.attention.export import files
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.writing import read_json
from urgency_dagster_tests.attention.export.conftest import SUFFIXES, export_one, fitted


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_loaded_model_and_the_fitted_model_predict_the_same(
    data: AttentionData, cross_validated: AttentionPaths, model: str
) -> None:
    card = export_one(data, model, cross_validated)
    expected = fitted(data, model).predict_proba(data.X)
    for suffix in SUFFIXES:
        loaded = load_model(cross_validated.model(model, suffix)).pipeline
        np.testing.assert_array_equal(loaded.predict_proba(data.X), expected)
        np.testing.assert_array_equal(loaded.predict(data.X), (expected[:, 1] > card["threshold"]).astype(int))


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_exporting_again_gives_the_same_bytes(data: AttentionData, cross_validated: AttentionPaths, model: str) -> None:
    export_one(data, model, cross_validated)
    files = (*(cross_validated.model(model, suffix) for suffix in SUFFIXES), cross_validated.card(model))
    first = [file.read_bytes() for file in files]
    export_one(data, model, cross_validated)
    assert [file.read_bytes() for file in files] == first


@pytest.mark.parametrize("model", ["logreg", "xgb"])
def test_the_exported_model_follows_the_protocol_it_was_cross_validated_by(
    data: AttentionData, paths: AttentionPaths, model: str
) -> None:
    chosen = {"oversample": True, "inner_split": "stratified", "xgb_settings": "authors", "seed": 5}
    config = CrossValidationConfig(**chosen, backend="sequential")
    unequal = dataclasses.replace(data, y=np.where(np.arange(300) % 3 == 0, 0, data.y))
    write_results(cross_validate(unequal, [model], config)[model], paths)
    card = export_one(unequal, model, paths)
    assert chosen.items() <= card["cross_validation"]["protocol"].items()
    found = load_model(paths.model(model)).pipeline.predict_proba(data.X)
    np.testing.assert_array_equal(found, fitted(unequal, model, Protocol(**chosen)).predict_proba(data.X))
    changed = ["oversample", "seed"] if model == "logreg" else list(chosen)
    for name in changed:
        default = Protocol(**{key: value for key, value in chosen.items() if key != name})
        other = fitted(unequal, model, default).predict_proba(data.X)
        assert name == "seed" or not np.array_equal(found, other), name


def test_the_card_says_what_the_model_is(data: AttentionData, exported: AttentionPaths) -> None:
    card = read_json(exported.card("logreg"))
    assert card["model"] == "logreg"
    assert card["sha256"] == hashlib.sha256(exported.model("logreg").read_bytes()).hexdigest()
    assert card["skops_sha256"] == hashlib.sha256(exported.model("logreg", ".skops").read_bytes()).hexdigest()
    assert [column["name"] for column in card["columns"]] == list(data.X.columns)
    assert {column["dtype"] for column in card["columns"]} == {"bool", "float32"}
    assert card["training_data"]["source_sha256"] == data.source_sha256
    assert card["cross_validation"]["mean"] == read_json(exported.results("logreg") / "metrics.json")["mean"]
    assert 0 < len(card["selected_features"]) < data.X.shape[1]
    assert card["versions"]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {"scikit-learn", "lightgbm", "xgboost", "numpy", "skops"} <= set(card["versions"])
    assert (card["threshold"], card["classes"]) == (0.5, [0, 1])
    assert "n_jobs" in card["threading"]


def test_only_cross_validated_models_of_the_same_data_are_exported(
    data: AttentionData, cross_validated: AttentionPaths, paths: AttentionPaths
) -> None:
    with pytest.raises(AttentionError, match="'dummy' is not exported"):
        export_one(data, "dummy", cross_validated)
    with pytest.raises(ArtefactError, match="other data"):
        export_one(dataclasses.replace(data, source_sha256="1" * 64), "logreg", cross_validated)
    (cross_validated.results("logreg") / "metrics.json").unlink()
    with pytest.raises(ArtefactError, match=r"logreg has no metrics\.json"):
        export_one(data, "logreg", cross_validated)
    assert not cross_validated.model("logreg").exists()


def test_scaler_and_selector_are_fitted_once_and_the_bytes_stay_the_same(
    data: AttentionData, cross_validated: AttentionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {}
    for model in MODEL_NAMES:
        export_one(data, model, cross_validated)
        alone[model] = [cross_validated.model(model, suffix).read_bytes() for suffix in SUFFIXES]
    protocols: list[Protocol] = []
    fit_all_rows = files.fit_all_rows

    def counted(data: AttentionData, protocol: Protocol) -> files.FittedPreprocessing:
        protocols.append(protocol)
        return fit_all_rows(data, protocol)

    monkeypatch.setattr(files, "fit_all_rows", counted)
    cards = dict(export_models(data, MODEL_NAMES, cross_validated))
    assert list(cards) == list(MODEL_NAMES)
    assert protocols == [Protocol()]
    for model in MODEL_NAMES:
        assert [cross_validated.model(model, suffix).read_bytes() for suffix in SUFFIXES] == alone[model], model


def test_models_of_other_protocols_are_not_mixed(data: AttentionData, cross_validated: AttentionPaths) -> None:
    other = CrossValidationConfig(seed=5, backend="sequential")
    write_results(cross_validate(data, ["rf"], other)["rf"], cross_validated)
    for model, card in export_models(data, ["logreg", "rf", "lgbm"], cross_validated):
        protocol = Protocol(seed=5 if model == "rf" else 42)
        assert card["cross_validation"]["protocol"]["seed"] == protocol.seed
        exported = load_model(cross_validated.model(model)).pipeline.predict_proba(data.X)
        np.testing.assert_array_equal(exported, fitted(data, model, protocol).predict_proba(data.X))
