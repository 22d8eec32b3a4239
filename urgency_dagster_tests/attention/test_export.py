import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.export import export_model, fit_pipeline, load_attention_model
from urgency_dagster.attention.protocol import MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.attention.results import write_results
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.storage import read_json, write_json


@pytest.fixture(scope="module")
def results(data):
    return cross_validate(data, MODEL_NAMES, CrossValidationConfig(backend="sequential"))


@pytest.fixture
def judged(results, paths):
    for result in results.values():
        write_results(result, paths)
    return paths


@pytest.fixture
def exported(data, judged):
    export_model(data, "logreg", judged)
    return judged


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_loaded_model_predicts_what_the_fitted_one_does(data, judged, model):
    card = export_model(data, model, judged)
    loaded = load_attention_model(judged.model(model))
    expected = fit_pipeline(data, model, Protocol()).predict_proba(data.X)
    np.testing.assert_array_equal(loaded.predict_proba(data.X), expected)
    np.testing.assert_array_equal(loaded.predict(data.X), (expected[:, 1] > card["threshold"]).astype(int))


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_exporting_again_gives_the_same_bytes(data, judged, model):
    export_model(data, model, judged)
    files = (judged.model(model), judged.card(model))
    first = [file.read_bytes() for file in files]
    export_model(data, model, judged)
    assert [file.read_bytes() for file in files] == first


@pytest.mark.parametrize("model", ["logreg", "xgb"])
def test_the_exported_model_follows_the_protocol_it_was_judged_by(data, paths, model):
    chosen = {"oversample": True, "inner_split": "stratified", "xgb_settings": "authors", "seed": 5}
    config = CrossValidationConfig(**chosen, backend="sequential")
    unequal = dataclasses.replace(data, y=np.where(np.arange(300) % 3 == 0, 0, data.y))
    write_results(cross_validate(unequal, [model], config)[model], paths)
    card = export_model(unequal, model, paths)
    assert chosen.items() <= card["cross_validation"]["protocol"].items()
    found = load_attention_model(paths.model(model)).predict_proba(data.X)
    np.testing.assert_array_equal(found, fit_pipeline(unequal, model, Protocol(**chosen)).predict_proba(data.X))
    changed = ["oversample", "seed"] if model == "logreg" else list(chosen)
    for name in changed:
        default = Protocol(**{key: value for key, value in chosen.items() if key != name})
        other = fit_pipeline(unequal, model, default).predict_proba(data.X)
        assert name == "seed" or not np.array_equal(found, other), name


def test_the_card_says_what_the_model_is(data, exported):
    card = read_json(exported.card("logreg"))
    assert card["model"] == "logreg"
    assert card["sha256"] == hashlib.sha256(exported.model("logreg").read_bytes()).hexdigest()
    assert [column["name"] for column in card["columns"]] == list(data.X.columns)
    assert {column["dtype"] for column in card["columns"]} == {"bool", "float32"}
    assert card["training_data"]["source_sha256"] == data.source_sha256
    assert card["cross_validation"]["mean"] == read_json(exported.results("logreg") / "metrics.json")["mean"]
    assert 0 < len(card["selected_features"]) < data.X.shape[1]
    assert card["versions"]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {"scikit-learn", "lightgbm", "xgboost", "numpy"} <= set(card["versions"])
    assert (card["threshold"], card["classes"]) == (0.5, [0, 1])
    assert "n_jobs" in card["threading"]


def test_column_order_does_not_matter_and_names_do(data, exported):
    loaded = load_attention_model(exported.model("logreg"))
    turned = data.X[data.X.columns[::-1]]
    np.testing.assert_array_equal(loaded.predict_proba(turned), loaded.predict_proba(data.X))
    with pytest.raises(AttentionError, match=r"1 columns are missing: HRT#AVG#M05"):
        loaded.predict_proba(data.X.drop(columns="HRT#AVG#M05"))
    with pytest.raises(AttentionError, match=r"1 columns are missing: HRT#AVG#M05"):
        loaded.predict_proba(data.X.rename(columns={"HRT#AVG#M05": "HRT#AVG#300"}))


class Bomb:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('/tmp/urgency_bomb').touch()",))


@pytest.mark.parametrize("content", [b"", pickle.dumps(Bomb()), None], ids=["empty", "hostile", "one bit"])
def test_a_tampered_model_is_refused_before_it_is_opened(exported, content, monkeypatch):
    model = exported.model("logreg")
    original = model.read_bytes()
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]) if content is None else content)
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    with pytest.raises(AttentionError, match=r"logreg\.pkl is not the file of its card"):
        load_attention_model(model)


@pytest.mark.parametrize("library", ["scikit-learn", "python", "a-library-we-lack"])
def test_another_version_is_refused_before_it_is_opened(exported, library, monkeypatch):
    card = read_json(exported.card("logreg"))
    card["versions"][library] = "0.1"
    write_json(exported.card("logreg"), card)
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    with pytest.raises(AttentionError, match=f"{library} 0.1 \\(here"):
        load_attention_model(exported.model("logreg"))


@pytest.mark.parametrize("card", ["no json", "[]", "{}", json.dumps({"sha256": 1, "versions": {}}), None])
def test_without_a_proper_card_nothing_is_loaded(exported, card):
    path = exported.card("logreg")
    path.unlink() if card is None else path.write_text(card)
    with pytest.raises(AttentionError, match=r"card logreg\.json"):
        load_attention_model(exported.model("logreg"))


def test_a_missing_model_is_named(exported):
    exported.model("logreg").unlink()
    with pytest.raises(AttentionError, match=r"no model logreg\.pkl"):
        load_attention_model(exported.model("logreg"))


def test_only_judged_models_of_the_same_data_are_exported(data, judged, paths):
    with pytest.raises(AttentionError, match="'dummy' is not exported"):
        export_model(data, "dummy", judged)
    with pytest.raises(ArtefactError, match="other data"):
        export_model(dataclasses.replace(data, source_sha256="1" * 64), "logreg", judged)
    (judged.results("logreg") / "metrics.json").unlink()
    with pytest.raises(ArtefactError, match=r"logreg has no metrics\.json"):
        export_model(data, "logreg", judged)
    assert not judged.model("logreg").exists()


@pytest.mark.slow
def test_another_process_loads_and_predicts_the_same(data, exported, tmp_path):
    data.X.to_pickle(tmp_path / "X.pkl")
    code = (
        "import sys, pandas as pd; from pathlib import Path\n"
        "from urgency_dagster.attention.export import load_attention_model\n"
        "loaded = load_attention_model(Path(sys.argv[1]))\n"
        "print(*loaded.predict_proba(pd.read_pickle(sys.argv[2]))[:5, 1].tolist())\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(exported.model("logreg")), str(tmp_path / "X.pkl")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    expected = fit_pipeline(data, "logreg", Protocol()).predict_proba(data.X)[:5, 1].tolist()
    assert [float(value) for value in printed] == expected
