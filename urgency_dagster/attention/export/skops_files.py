"""Fitted pipelines as `.skops` bytes: a ZIP of arrays and a description of the objects, opened without unpickling.

Which file belongs to which card, and whether the libraries fit, is checked in `export` before anything here is called.

Source: the skops documentation, "Secure persistence with skops" (format and trusted types).
"""

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.errors import AttentionError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TRUSTED = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "urgency_dagster.attention.early_stopping.EvXGBClassifier",
    "urgency_dagster.attention.estimators.FeatureScaler",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
)
"""What the five pipelines hold besides the estimators and arrays that skops itself admits.

Of both boosters the file holds the model that the library itself writes, text for LightGBM and bytes for XGBoost, which
its parser in C++ reads: no Python is run. Those parsers and the nodes of a Tree are not safe against bytes made to
harm, which is why a file is compared with its card first.
"""

SCHEMA = "schema.json"
"""The description of the objects; every other file in the ZIP is an array or the bytes of a booster."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP can hold."""


def to_skops(pipeline: "Pipeline") -> bytes:
    """The pipeline as `.skops` bytes; the same pipeline gives the same bytes.

    skops names objects and arrays by where they lie in memory; they are numbered in the order of the description here.
    """
    import skops.io

    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline)))
    numbers: dict[str, int] = {}
    schema = _renumbered(json.loads(source.read(SCHEMA)), numbers)
    files = sorted(set(source.namelist()) - {SCHEMA}, key=lambda name: numbers[Path(name).stem])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in (
            (SCHEMA, json.dumps(schema, indent=1).encode()),
            *((_renamed(name, numbers), source.read(name)) for name in files),
        ):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _renumbered(node: Any, numbers: dict[str, int]) -> Any:
    """The description with ids and names of files counted from 0 as they come."""
    if isinstance(node, list):
        return [_renumbered(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    changed: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__" and isinstance(value, int):
            changed[key] = numbers.setdefault(str(value), len(numbers))
        elif key == "file" and isinstance(value, str):
            numbers.setdefault(Path(value).stem, len(numbers))
            changed[key] = _renamed(value, numbers)
        else:
            changed[key] = _renumbered(value, numbers)
    return changed


def _renamed(name: str, numbers: dict[str, int]) -> str:
    return f"{numbers[Path(name).stem]}{Path(name).suffix}"


def from_skops(content: bytes) -> "Pipeline":
    """The pipeline in `.skops` bytes. Nothing is unpickled, and no type is made that is not trusted.

    Raises:
        AttentionError: the bytes are no such file, name a type that is not trusted, or hold no Pipeline.
    """
    import skops.io
    from sklearn.pipeline import Pipeline
    from skops.io.exceptions import UntrustedTypesFoundException

    remedy = "export the model again"
    try:
        pipeline = skops.io.loads(content, trusted=TRUSTED)
    except UntrustedTypesFoundException as error:
        foreign = sorted(set(skops.io.get_untrusted_types(data=content)).difference(TRUSTED))
        received = f"the file asks for {', '.join(foreign)}"
        raise AttentionError(received, "the types of an exported model", remedy) from error
    except (zipfile.BadZipFile, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise AttentionError(f"the file is damaged ({type(error).__name__})", "an exported model", remedy) from error
    if not isinstance(pipeline, Pipeline):
        raise AttentionError(f"the file holds a {type(pipeline).__name__}", "a Pipeline", remedy)
    return pipeline
