import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from urgency_dagster.attention.export.skops_files import TRUSTED, from_skops, to_skops
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import MODEL_NAMES
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.export.conftest import fitted


@pytest.fixture(scope="module")
def pipelines(data: AttentionData) -> dict[str, Pipeline]:
    return {model: fitted(data, model) for model in MODEL_NAMES}


@pytest.fixture(scope="module")
def contents(pipelines: dict[str, Pipeline]) -> dict[str, bytes]:
    return {model: to_skops(pipeline) for model, pipeline in pipelines.items()}


def schema_of(content: Any) -> Any:
    return json.loads(zipfile.ZipFile(io.BytesIO(content)).read("schema.json"))


def with_schema(content: Any, change: Callable[..., Any]) -> bytes:
    """The same file with another description."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            text = change(source.read(name).decode()).encode() if name == "schema.json" else source.read(name)
            archive.writestr(name, text)
    return target.getvalue()


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_model_comes_back_to_the_last_bit(
    data: AttentionData, pipelines: dict[str, Pipeline], contents: dict[str, bytes], model: str
) -> None:
    loaded = from_skops(contents[model])
    np.testing.assert_array_equal(loaded.predict_proba(data.X), pipelines[model].predict_proba(data.X))


def test_nothing_is_unpickled(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("unpickled"))
    for content in contents.values():
        from_skops(content)


def test_exactly_the_trusted_types_are_needed(contents: dict[str, bytes]) -> None:
    needed = set().union(*(skops.io.get_untrusted_types(data=content) for content in contents.values()))
    assert needed == set(TRUSTED)


@pytest.mark.parametrize("model", ["lgbm", "xgb"])
def test_a_booster_is_stored_as_its_library_writes_it(contents: dict[str, bytes], model: str) -> None:
    found = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("__class__") == "Booster":
                found.append(node["__loader__"])
                names = ("_handle", "handle")
                found.append(
                    next(node["content"]["content"][n]["__loader__"] for n in names if n in node["content"]["content"])
                )
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(schema_of(contents[model]))
    assert found == ["ObjectNode", {"lgbm": "JsonNode", "xgb": "BytearrayNode"}[model]]


def test_the_same_model_gives_the_same_bytes(data: AttentionData, contents: dict[str, bytes]) -> None:
    assert {model: to_skops(fitted(data, model)) for model in MODEL_NAMES} == contents


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("os", "_Environ"), ("subprocess", "Popen"), ("sklearn.tree._tree", "Other")],
)
def test_an_untrusted_type_is_named_and_not_created(contents: dict[str, bytes], module: str, name: str) -> None:
    def change(text: str) -> str:
        return text.replace("urgency_dagster.attention.estimators", module).replace("FeatureScaler", name)

    with pytest.raises(AttentionError, match=f"the file names {module}.{name}"):
        from_skops(with_schema(contents["logreg"], change))


def shout(X: Any) -> Any:
    return X


def test_a_function_is_not_trusted() -> None:
    content = skops.io.dumps(Pipeline([("shout", FunctionTransformer(shout)), ("model", LogisticRegression())]))
    with pytest.raises(AttentionError, match=r"the file names .*test_skops_files\.shout"):
        from_skops(content)


def test_a_model_other_than_a_pipeline_is_refused() -> None:
    with pytest.raises(AttentionError, match="the file holds a LogisticRegression; expected a Pipeline"):
        from_skops(skops.io.dumps(LogisticRegression()))


@pytest.mark.parametrize("content", [b"", b"no zip", None, "cut"], ids=["empty", "no zip", "no schema", "cut short"])
def test_a_damaged_file_is_refused(contents: dict[str, bytes], content: Any) -> None:
    if content is None:
        content = with_schema(contents["logreg"], lambda _: "{}")
    if content == "cut":
        content = contents["rf"][:1000]
    with pytest.raises(AttentionError, match="the file is damaged"):
        from_skops(content)
