"""Fitted pipelines as `.skops` bytes: a ZIP of arrays and a JSON schema of the objects, read without unpickling.

Hash and library versions are checked in `loading` before a file is read here.

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
"""Types of the five pipelines beyond the types that skops trusts by default.

A booster is stored in its library's own format: text for LightGBM, bytes for XGBoost. The library's C++ parser reads
it, and no Python code runs. These parsers and the nodes of a Tree are unsafe against manipulated bytes; therefore
`loading` compares a file with its card first.
"""

SCHEMA = "schema.json"
"""The description of the objects. Every other file in the ZIP is an array or the bytes of a booster."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time stamp of a ZIP member."""


def to_skops(pipeline: "Pipeline") -> bytes:
    """The pipeline as `.skops` bytes; the same pipeline gives the same bytes.

    skops names objects and arrays by their memory address, so each dump of one pipeline has other bytes. The file's
    hash is in the card, and card and file are compared between runs: a rerun must give the same bytes. Names are
    therefore replaced by numbers, in the order of the schema.
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
    """The schema with ids and file names numbered from 0 in the order of their appearance."""
    if isinstance(node, list):
        return [_renumbered(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    renumbered: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__" and isinstance(value, int):
            renumbered[key] = numbers.setdefault(str(value), len(numbers))
        elif key == "file" and isinstance(value, str):
            numbers.setdefault(Path(value).stem, len(numbers))
            renumbered[key] = _renamed(value, numbers)
        else:
            renumbered[key] = _renumbered(value, numbers)
    return renumbered


def _renamed(name: str, numbers: dict[str, int]) -> str:
    return f"{numbers[Path(name).stem]}{Path(name).suffix}"


def from_skops(content: bytes) -> "Pipeline":
    """The pipeline in `.skops` bytes. Nothing is unpickled, and only trusted types are created.

    Raises:
        AttentionError: the bytes are damaged, name an untrusted type, or do not hold a Pipeline.
    """
    import skops.io
    from sklearn.pipeline import Pipeline
    from skops.io.exceptions import UntrustedTypesFoundException

    remedy = "export the model again"
    try:
        pipeline = skops.io.loads(content, trusted=TRUSTED)
    except UntrustedTypesFoundException as error:
        untrusted = sorted(set(skops.io.get_untrusted_types(data=content)).difference(TRUSTED))
        received = f"the file names {', '.join(untrusted)}"
        raise AttentionError(received, "the types of an exported model", remedy) from error
    except (zipfile.BadZipFile, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise AttentionError(f"the file is damaged ({type(error).__name__})", "an exported model", remedy) from error
    if not isinstance(pipeline, Pipeline):
        raise AttentionError(f"the file holds a {type(pipeline).__name__}", "a Pipeline", remedy)
    return pipeline
