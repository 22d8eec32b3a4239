import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from urgency_dagster.attention.export.files import export_model, fit_pipeline, load_attention_model
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.attention.validation.results import write_results
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import read_json, write_json

SUFFIXES = (".pkl", ".skops")


@pytest.fixture(scope="module")
def results(data):
    return cross_validate(data, MODEL_NAMES, CrossValidationConfig(backend="sequential"))


@pytest.fixture(scope="module")
def judged_root(results, tmp_path_factory):
    root = tmp_path_factory.mktemp("judged")
    for result in results.values():
        write_results(result, StoragePaths(root).attention)
    return root


@pytest.fixture(scope="module")
def exported_root(data, judged_root, tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    shutil.copytree(judged_root, root, dirs_exist_ok=True)
    export_model(data, "logreg", StoragePaths(root).attention)
    return root


@pytest.fixture
def judged(judged_root, copy_of):
    return copy_of(judged_root)


@pytest.fixture
def exported(exported_root, copy_of):
    return copy_of(exported_root)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_loaded_model_predicts_what_the_fitted_one_does(data, judged, model):
    card = export_model(data, model, judged)
    expected = fit_pipeline(data, model, Protocol()).predict_proba(data.X)
    for suffix in SUFFIXES:
        loaded = load_attention_model(judged.model(model, suffix))
        np.testing.assert_array_equal(loaded.predict_proba(data.X), expected)
        np.testing.assert_array_equal(loaded.predict(data.X), (expected[:, 1] > card["threshold"]).astype(int))


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_exporting_again_gives_the_same_bytes(data, judged, model):
    export_model(data, model, judged)
    files = (*(judged.model(model, suffix) for suffix in SUFFIXES), judged.card(model))
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_column_order_does_not_matter_and_names_do(data, exported, suffix):
    loaded = load_attention_model(exported.model("logreg", suffix))
    turned = data.X[data.X.columns[::-1]]
    np.testing.assert_array_equal(loaded.predict_proba(turned), loaded.predict_proba(data.X))
    with pytest.raises(AttentionError, match=r"1 columns are missing: HRT#AVG#M05"):
        loaded.predict_proba(data.X.drop(columns="HRT#AVG#M05"))
    with pytest.raises(AttentionError, match=r"1 columns are missing: HRT#AVG#M05"):
        loaded.predict_proba(data.X.rename(columns={"HRT#AVG#M05": "HRT#AVG#300"}))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_more_columns_and_other_dtypes_of_the_same_values_change_nothing(data, exported, suffix):
    loaded = load_attention_model(exported.model("logreg", suffix))
    expected = loaded.predict_proba(data.X)
    categorical = list(data.X.select_dtypes("bool"))
    variants = (
        data.X.assign(**{"HRT#AVG#999": 1.0, "a name": "a text"}),
        data.X.astype(dict.fromkeys(categorical, "int64")),
        data.X.astype(dict.fromkeys(data.X.columns, "float64")),
    )
    for X in variants:
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X: X.assign(**{"HRT#VAL": "70"}), "1 columns are no numbers: HRT#VAL"),
        (lambda X: X.assign(**{"ESM#DOW=MON": 2}), "1 columns hold more than yes and no: ESM#DOW=MON"),
        (lambda X: pd.concat([X, X[["HRT#VAL"]]], axis=1), "1 columns occur more than once: HRT#VAL"),
        (lambda X: X.assign(**{"HRT#VAL": np.nan}), "the features hold NaN or infinity"),
        (lambda X: X.to_numpy(), "the features are a ndarray"),
    ],
)
def test_features_that_cannot_be_predicted_from_are_named(data, exported, change, said):
    loaded = load_attention_model(exported.model("logreg", ".skops"))
    with pytest.raises(AttentionError, match=said):
        loaded.predict_proba(change(data.X))


class Bomb:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('/tmp/urgency_bomb').touch()",))


@pytest.fixture
def unopened(monkeypatch):
    """Fails as soon as a model is opened."""
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    monkeypatch.setattr("urgency_dagster.attention.export.files.from_skops", lambda *_: pytest.fail("opened"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", pickle.dumps(Bomb()), None], ids=["empty", "hostile", "one bit"])
def test_a_tampered_model_is_refused_before_it_is_opened(exported, content, suffix, unopened):
    model = exported.model("logreg", suffix)
    original = model.read_bytes()
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]) if content is None else content)
    with pytest.raises(AttentionError, match=rf"logreg\{suffix} is not the file of its card"):
        load_attention_model(model)


def test_the_files_of_two_models_may_not_change_places(data, exported, unopened):
    export_model(data, "lgbm", exported)
    for suffix in SUFFIXES:
        exported.model("logreg", suffix).write_bytes(exported.model("lgbm", suffix).read_bytes())
        with pytest.raises(AttentionError, match="is not the file of its card"):
            load_attention_model(exported.model("logreg", suffix))


def test_a_skops_file_with_a_foreign_type_is_refused_even_when_its_card_fits(exported):
    content = skops.io.dumps(Pipeline([("bomb", FunctionTransformer(os.system))]))
    exported.model("logreg", ".skops").write_bytes(content)
    card = read_json(exported.card("logreg"))
    write_json(exported.card("logreg"), {**card, "skops_sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(AttentionError, match=r"the file asks for posix\.system"):
        load_attention_model(exported.model("logreg", ".skops"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("library", ["scikit-learn", "python", "a-library-we-lack"])
def test_another_version_is_refused_before_it_is_opened(exported, library, suffix, unopened):
    card = read_json(exported.card("logreg"))
    card["versions"][library] = "0.1"
    write_json(exported.card("logreg"), card)
    with pytest.raises(AttentionError, match=f"{library} 0.1 \\(here"):
        load_attention_model(exported.model("logreg", suffix))


def test_a_card_that_leaves_versions_out_vouches_for_nothing(exported, unopened):
    card = read_json(exported.card("logreg"))
    write_json(exported.card("logreg"), {**card, "versions": {}})
    with pytest.raises(AttentionError, match=r"numpy of unknown version .*xgboost of unknown version"):
        load_attention_model(exported.model("logreg"))


CARDS = {
    "no JSON": b"no json",
    "no text": b"\xff\xfe\x00",
    "too deep": b"[" * 200_000,
    "a list": b"[]",
    "empty": b"{}",
    "a hash that is no text": json.dumps({"sha256": 1, "skops_sha256": "", "versions": {}}).encode(),
    "one hash": json.dumps({"sha256": "", "versions": {}}).encode(),
    "versions that are a list": json.dumps({"sha256": "", "skops_sha256": "", "versions": []}).encode(),
    "none": None,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_without_a_proper_card_nothing_is_loaded(exported, card, suffix, unopened):
    path = exported.card("logreg")
    path.unlink() if card is None else path.write_bytes(card)
    with pytest.raises(AttentionError, match=r"card logreg\.json"):
        load_attention_model(exported.model("logreg", suffix))


def test_a_file_that_is_neither_is_refused(exported):
    with pytest.raises(
        AttentionError, match=r"logreg\.json is no model; expected a file that ends in \.pkl or \.skops"
    ):
        load_attention_model(exported.card("logreg"))


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
        "from urgency_dagster.attention.export.files import load_attention_model\n"
        "loaded = load_attention_model(Path(sys.argv[1]))\n"
        "print(*loaded.predict_proba(pd.read_pickle(sys.argv[2]))[:5, 1].tolist())\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(exported.model("logreg")), str(tmp_path / "X.pkl")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    expected = fit_pipeline(data, "logreg", Protocol()).predict_proba(data.X)[:5, 1].tolist()
    assert [float(value) for value in printed] == expected
