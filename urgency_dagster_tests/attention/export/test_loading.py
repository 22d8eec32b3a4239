"""Loading: what is opened, what is refused before it is opened, and the format of the files."""

import hashlib
import importlib
import json
import os
import pickle
import pickletools
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from xgboost import XGBClassifier

from urgency_dagster.attention import load_model, versions
from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.estimators import FeatureScaler
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.errors import AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.writing import file_hash, read_json, write_json
from urgency_dagster_tests.attention.export.conftest import SUFFIXES, export_one, fitted
from urgency_dagster_tests.json_damage import damaged


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_loaded_model_names_itself_and_its_data(data: AttentionData, exported: AttentionPaths, suffix: str) -> None:
    file, card = exported.model("logreg", suffix), read_json(exported.card("logreg"))
    loaded = load_model(str(file))
    assert loaded.provenance.model == "logreg"
    assert loaded.provenance.model_sha256 == file_hash(file)
    assert loaded.provenance.data_sha256 == data.source_sha256
    assert loaded.provenance.versions == card["versions"]
    assert loaded.threshold == card["threshold"]
    assert sorted(loaded.used_columns) == sorted(card["selected_features"])
    used = data.X[list(loaded.used_columns)]
    expected = loaded.pipeline.predict_proba(data.X)[:, 1].tolist()
    assert [row.probability for row in loaded.predict(used).rows] == expected
    assert loaded.predict(used.assign(participant="P01")).unknown_columns == ("participant",)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_column_order_does_not_matter_and_names_do(data: AttentionData, exported: AttentionPaths, suffix: str) -> None:
    loaded = load_model(exported.model("logreg", suffix)).pipeline
    turned = data.X[data.X.columns[::-1]]
    np.testing.assert_array_equal(loaded.predict_proba(turned), loaded.predict_proba(data.X))
    with pytest.raises(AttentionError, match=r"1 columns are missing: HRT#AVG#M05"):
        loaded.predict_proba(data.X.drop(columns="HRT#AVG#M05"))
    with pytest.raises(AttentionError, match=r"1 columns are missing: HRT#AVG#M05"):
        loaded.predict_proba(data.X.rename(columns={"HRT#AVG#M05": "HRT#AVG#300"}))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_more_columns_and_other_dtypes_of_the_same_values_change_nothing(
    data: AttentionData, exported: AttentionPaths, suffix: str
) -> None:
    loaded = load_model(exported.model("logreg", suffix)).pipeline
    expected = loaded.predict_proba(data.X)
    categorical = list(data.X.select_dtypes("bool"))
    variants = (
        data.X.assign(**{"HRT#AVG#999": 1.0}).assign(**{"a name": "a text"}),
        data.X.astype(dict.fromkeys(categorical, "int64")),
        data.X.astype(dict.fromkeys(data.X.columns, "float64")),
    )
    for X in variants:
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X: X.assign(**{"HRT#VAL": "70"}), "1 columns are not numeric: HRT#VAL"),
        (lambda X: X.assign(**{"ESM#DOW=MON": 2}), "1 columns hold values other than 0 and 1: ESM#DOW=MON"),
        (lambda X: pd.concat([X, X[["HRT#VAL"]]], axis=1), "1 columns occur more than once: HRT#VAL"),
        (lambda X: X.assign(**{"HRT#VAL": np.nan}), "1 columns hold NaN or infinity: HRT#VAL"),
        (lambda X: X.to_numpy(), "the features are a ndarray"),
    ],
)
def test_invalid_features_are_named(
    data: AttentionData, exported: AttentionPaths, change: Callable[..., Any], said: str
) -> None:
    loaded = load_model(exported.model("logreg", ".skops")).pipeline
    with pytest.raises(AttentionError, match=said):
        loaded.predict_proba(change(data.X))


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("import pathlib; pathlib.Path('/tmp/urgency_bomb').touch()",))


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails as soon as a model is opened."""
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    monkeypatch.setattr("urgency_dagster.attention.export.loading.from_skops", lambda *_: pytest.fail("opened"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", pickle.dumps(Bomb()), None], ids=["empty", "hostile", "one bit"])
def test_a_tampered_model_is_refused_before_it_is_opened(
    exported: AttentionPaths, content: bytes | None, suffix: str, unopened: None
) -> None:
    model = exported.model("logreg", suffix)
    original = model.read_bytes()
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]) if content is None else content)
    with pytest.raises(AttentionError, match=rf"logreg\{suffix} does not match the hash in its card"):
        load_model(model)


def test_the_file_of_another_model_is_refused(data: AttentionData, exported: AttentionPaths, unopened: None) -> None:
    export_one(data, "lgbm", exported)
    for suffix in SUFFIXES:
        exported.model("logreg", suffix).write_bytes(exported.model("lgbm", suffix).read_bytes())
        with pytest.raises(AttentionError, match="does not match the hash in its card"):
            load_model(exported.model("logreg", suffix))


def test_a_skops_file_with_a_foreign_type_is_refused_even_when_its_card_fits(exported: AttentionPaths) -> None:
    content = skops.io.dumps(Pipeline([("bomb", FunctionTransformer(os.system))]))
    exported.model("logreg", ".skops").write_bytes(content)
    card = read_json(exported.card("logreg"))
    write_json(exported.card("logreg"), {**card, "skops_sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(AttentionError, match=r"the file names posix\.system"):
        load_model(exported.model("logreg", ".skops"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("library", ["scikit-learn", "python", "a-library-we-lack"])
def test_another_version_is_refused_before_it_is_opened(
    exported: AttentionPaths, library: str, suffix: str, unopened: None
) -> None:
    card = read_json(exported.card("logreg"))
    card["versions"][library] = "0.1"
    write_json(exported.card("logreg"), card)
    with pytest.raises(AttentionError, match=f"{library} 0.1 \\(here"):
        load_model(exported.model("logreg", suffix))


def test_a_card_with_the_names_of_its_columns_alone_is_refused(exported: AttentionPaths, unopened: None) -> None:
    card = read_json(exported.card("logreg"))
    write_json(exported.card("logreg"), {**card, "columns": [column["name"] for column in card["columns"]]})
    with pytest.raises(AttentionError, match=r"the card logreg\.json is incomplete or damaged, at 'columns\.0'"):
        load_model(exported.model("logreg", ".pkl"))


@pytest.fixture
def intact_card(exported: AttentionPaths, tmp_path: Path) -> Path:
    """A copy of a card with an accepted finding, which every field of a card is in."""
    copy = tmp_path / "intact.json"
    write_json(copy, {**read_json(exported.card("logreg")), "accepted_findings": [{"kind": "overlap"}]})
    return copy


@given(drawn=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_damaged_card_is_refused_or_loads(
    data: AttentionData, exported: AttentionPaths, intact_card: Path, drawn: st.DataObject
) -> None:
    """And a model that loads answers."""
    card = drawn.draw(damaged(read_json(intact_card)))
    exported.card("logreg").write_text(json.dumps(card), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # accepted findings
        try:
            loaded = load_model(exported.model("logreg", ".skops"))
        except AttentionError:
            return
    assert {row.label for row in loaded.predict(data.X).rows} <= {0, 1}


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff", b'{"threshold": 1e999}'])
def test_a_card_of_another_shape_is_refused(exported: AttentionPaths, content: bytes) -> None:
    exported.card("logreg").write_bytes(content)
    with pytest.raises(AttentionError, match=r"the card logreg\.json is"):
        load_model(exported.model("logreg", ".pkl"))


def test_a_card_without_versions_is_refused(exported: AttentionPaths, unopened: None) -> None:
    card = read_json(exported.card("logreg"))
    write_json(exported.card("logreg"), {**card, "versions": {}})
    with pytest.raises(AttentionError, match=r"numpy of unknown version .*xgboost of unknown version"):
        load_model(exported.model("logreg"))


CARDS = {
    "no JSON": b"no json",
    "no text": b"\xff\xfe\x00",
    "too deep": b"[" * 200_000,
    "a list": b"[]",
    "empty": b"{}",
    "a hash that is no text": json.dumps({"sha256": 1, "skops_sha256": "", "versions": {}}).encode(),
    "one hash": json.dumps({"sha256": "", "versions": {}}).encode(),
    "no threshold": json.dumps(
        {"sha256": "", "skops_sha256": "", "model": "", "versions": {}, "columns": [], "training_data": {}}
    ).encode(),
    "versions that are a list": json.dumps({"sha256": "", "skops_sha256": "", "versions": []}).encode(),
    "none": None,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_without_a_valid_card_nothing_is_loaded(
    exported: AttentionPaths, card: bytes | None, suffix: str, unopened: None
) -> None:
    path = exported.card("logreg")
    path.unlink() if card is None else path.write_bytes(card)
    with pytest.raises(AttentionError, match=r"card logreg\.json"):
        load_model(exported.model("logreg", suffix))


def test_a_file_with_another_suffix_is_refused(exported: AttentionPaths) -> None:
    with pytest.raises(
        AttentionError, match=r"logreg\.json is not a model; expected a file that ends in \.pkl or \.skops"
    ):
        load_model(exported.card("logreg"))


def test_a_missing_model_is_named(exported: AttentionPaths) -> None:
    exported.model("logreg").unlink()
    with pytest.raises(AttentionError, match=r"no model logreg\.pkl"):
        load_model(exported.model("logreg"))


@pytest.mark.slow
def test_another_process_loads_and_predicts_the_same(
    data: AttentionData, exported: AttentionPaths, tmp_path: Path
) -> None:
    data.X.to_pickle(tmp_path / "X.pkl")
    code = (
        "import sys, pandas as pd; from pathlib import Path\n"
        "from urgency_dagster.attention import load_model\n"
        "loaded = load_model(Path(sys.argv[1]))\n"
        "print(*[row.probability for row in loaded.predict(pd.read_pickle(sys.argv[2])).rows[:5]])\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(exported.model("logreg")), str(tmp_path / "X.pkl")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    expected = fitted(data, "logreg").predict_proba(data.X)[:5, 1].tolist()
    assert [float(value) for value in printed] == expected


NOT_INSTALLED = {
    ".pkl": ["dagster", "ray", "imblearn", "pyarrow", "matplotlib", "torch", "transformers", "librosa", "skops"],
    ".skops": ["dagster", "ray", "imblearn", "pyarrow", "matplotlib", "torch", "transformers", "librosa"],
}
"""Packages that loading a file and predicting must not need, by suffix."""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_loading_and_predicting_need_core_libraries_only(
    data: AttentionData, exported: AttentionPaths, tmp_path: Path, suffix: str
) -> None:
    data.X.to_csv(tmp_path / "X.csv", index=False)
    code = (
        "import sys\n"
        "class NotInstalled:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in sys.argv[3:]: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NotInstalled())\n"
        "import pandas as pd\n"
        "from urgency_dagster.attention import load_model\n"
        "print(*[row.probability for row in load_model(sys.argv[1]).predict(pd.read_csv(sys.argv[2])).rows[:5]])\n"
    )
    model = str(exported.model("logreg", suffix))
    command = [sys.executable, "-c", code, model, str(tmp_path / "X.csv"), *NOT_INSTALLED[suffix]]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    expected = fitted(data, "logreg").predict_proba(data.X)[:5, 1]
    np.testing.assert_allclose([float(value) for value in printed], expected, atol=1e-6)


def test_a_pickle_is_loaded_without_skops_and_a_skops_file_is_not(
    data: AttentionData, exported: AttentionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_skops(name: str) -> str:
        if name == "skops":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(versions, "version", without_skops)
    np.testing.assert_array_equal(
        load_model(exported.model("logreg")).pipeline.predict_proba(data.X),
        fitted(data, "logreg").predict_proba(data.X),
    )
    with pytest.raises(AttentionError, match=r"skops .* \(here not installed\)"):
        load_model(exported.model("logreg", ".skops"))


OWN_CLASSES = {
    "urgency_dagster.attention.estimators FeatureScaler",
    "urgency_dagster.attention.early_stopping EvXGBClassifier",
}
"""The classes of this project that files of older versions name."""


def test_files_name_no_other_class_of_this_project(data: AttentionData) -> None:
    named: set[str] = set()
    for model in ("logreg", "xgb"):
        strings: list[str] = []
        for code, argument, _ in pickletools.genops(pickle.dumps(fitted(data, model), protocol=4)):
            if code.name == "STACK_GLOBAL":
                named.add(" ".join(strings[-2:]))
            elif isinstance(argument, str):
                strings.append(argument)
    assert {name for name in named if name.startswith("urgency_dagster")} <= OWN_CLASSES


def state_from_an_old_file(path: str, state: dict[str, object]) -> Any:
    """What unpickling makes of a class path and the attributes that a file holds."""
    module, _, name = path.rpartition(".")
    instance = object.__new__(getattr(importlib.import_module(module), name))
    instance.__setstate__(state)
    return instance


def test_a_scaler_of_an_older_file_transforms(data: AttentionData) -> None:
    numbers = data.X[["HRT#VAL", "PIF#AGE"]].to_numpy()
    scaler = state_from_an_old_file(
        "urgency_dagster.attention.estimators.FeatureScaler",
        {
            "categorical_": ["DST_MOT#VAL=IDLE"],
            "numeric_": ["HRT#VAL", "PIF#AGE"],
            "scaler_": StandardScaler().fit(numbers),
            "n_features_in_": 3,
        },
    )
    mean, deviation = numbers.mean(axis=0, dtype=np.float64), numbers.std(axis=0, dtype=np.float64)
    expected = np.hstack([data.X[["DST_MOT#VAL=IDLE"]].to_numpy("float32"), (numbers - mean) / deviation])
    np.testing.assert_allclose(scaler.transform(data.X), expected, rtol=1e-5, atol=1e-5)
    assert vars(scaler).keys() == vars(FeatureScaler().fit(data.X)).keys()


def test_an_xgboost_model_of_an_older_file_predicts(data: AttentionData, matrix: np.ndarray) -> None:
    model = XGBClassifier(n_estimators=7, random_state=42, n_jobs=1).fit(matrix, data.y)
    old = state_from_an_old_file(
        "urgency_dagster.attention.early_stopping.EvXGBClassifier",
        {
            "eval_size": 0.2, "inner_split": "participant", "eval_metric": "logloss", "early_stopping_rounds": 50,
            "random_state": 42, "n_estimators": 100, "learning_rate": 0.03, "max_depth": 3, "reg_alpha": 2.0,
            "reg_lambda": 2.0, "gamma": 2.0, "subsample": 0.8, "colsample_bytree": 0.8, "n_jobs": 1,
            "model_": model, "classes_": np.array([0, 1]), "n_features_in_": matrix.shape[1],
        },
    )  # fmt: skip
    np.testing.assert_array_equal(old.predict_proba(matrix), model.predict_proba(matrix))
    np.testing.assert_array_equal(old.predict(matrix), model.predict(matrix))
    assert vars(old).keys() == vars(EvXGBClassifier().fit(matrix, data.y, data.groups)).keys()
