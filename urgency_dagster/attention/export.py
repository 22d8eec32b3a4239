"""Fitted models as files for use elsewhere, and the only way to load them. Nothing is judged here.

A model file is a pickle, and a pickle can run anything: it is only opened when its bytes are those of its card.
"""

import hashlib
import pickle
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.attention.pickles import AttentionData
from urgency_dagster.attention.protocol import MODEL_NAMES, THRESHOLD, Protocol
from urgency_dagster.attention.results import read_metrics, read_protocol
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.storage import AttentionPaths, read_json, replacing, write_json

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "lightgbm", "xgboost")
"""Distributions whose classes or arrays are in a model file."""

THREADING = "n_jobs is 1 in every estimator: load the model once, and give each worker thread or process its own rows"


def fit_pipeline(data: AttentionData, model: str, protocol: Protocol) -> "Pipeline":
    """Scaler, selector and model, fitted on all rows, as one Pipeline.

    It takes a DataFrame with the columns of `data.X`, in any order.

    Raises:
        AttentionError: the selector keeps no feature, or the rows cannot be oversampled.
    """
    from sklearn.pipeline import Pipeline

    from urgency_dagster.attention.estimators import fit_estimator, fit_preprocessing, one_thread, training_rows

    with one_thread():
        preprocessing = fit_preprocessing(data.X, data.y, protocol.seed)
        rows = training_rows(preprocessing, data.X, data.y, data.groups, protocol)
        estimator = fit_estimator(model, rows, protocol)
    return Pipeline([*preprocessing.steps, ("model", estimator)])


def export_model(data: AttentionData, model: str, paths: AttentionPaths) -> dict[str, Any]:
    """Refits a cross-validated model on all rows, stores it and, last, its card; returns the card.

    The protocol is that of the cross-validation, so that the exported model is the one that was judged.

    Raises:
        AttentionError: the model is no exported one (the baseline is not), or the selector keeps no feature.
        ArtefactError: it was not cross-validated, on other data, or by another version of this project.
    """
    if model not in MODEL_NAMES:
        raise AttentionError(f"{model!r} is not exported", f"one of {', '.join(MODEL_NAMES)}", "correct the name")
    metrics = read_metrics(paths, model)
    if metrics["data"]["source_sha256"] != data.source_sha256:
        received = f"{model} was judged on other data than it would be fitted on"
        raise ArtefactError(received, "the same pickle", f"materialise attention_cv/{model} again")
    pipeline = fit_pipeline(data, model, read_protocol(metrics))
    content = pickle.dumps(pipeline, protocol=5)
    # Without a card the file cannot be loaded, so an interrupted export leaves no pair that does not fit.
    paths.card(model).unlink(missing_ok=True)
    with replacing(paths.model(model)) as temporary:
        temporary.write_bytes(content)
    card = _card(data, metrics, pipeline, content)
    write_json(paths.card(model), card)
    return card


def _card(data: AttentionData, metrics: dict[str, Any], pipeline: "Pipeline", content: bytes) -> dict[str, Any]:
    selected = pipeline[:-1].get_feature_names_out().tolist()
    return {
        "model": metrics["model"],
        "sha256": hashlib.sha256(content).hexdigest(),
        "versions": library_versions(),
        "columns": [{"name": str(name), "dtype": str(dtype)} for name, dtype in data.X.dtypes.items()],
        "selected_features": selected,
        "classes": [0, 1],
        "threshold": THRESHOLD,
        "threading": THREADING,
        "training_data": metrics["data"],
        "cross_validation": {key: metrics[key] for key in ("mean", "sd", "protocol")},
    }


def library_versions() -> dict[str, str]:
    """The versions that a model file depends on: Python's to the minor one, each library's exactly."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: version(name) for name in LIBRARIES}}


def load_attention_model(path: Path) -> "Pipeline":
    """The fitted Pipeline in `path`, whose card lies beside it as `<model>.json`.

    `predict_proba` takes a DataFrame with at least the card's columns, in any order; a missing one is an
    AttentionError that names it. Class 1 is meant when its probability is above the card's threshold.

    Raises:
        AttentionError: the file or its card is missing or unreadable, the bytes are not those of the card, or a
            library has another version. Nothing is unpickled then.
    """
    card = _read_card(path.with_suffix(".json"))
    if not path.is_file():
        raise AttentionError(f"there is no model {path.name}", "an exported model", "export it")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise AttentionError(f"{path.name} is not the file of its card", "the exported bytes", "export it again")
    here = library_versions()
    other = [
        f"{name} {wanted} (here {here.get(name)})"
        for name, wanted in card["versions"].items()
        if here.get(name) != wanted
    ]
    if other:
        raise AttentionError(
            f"{path.name} was written with {', '.join(other)}", "equal versions", "install them or export it again"
        )
    pipeline: Pipeline = pickle.loads(content)  # noqa: S301 - the bytes were compared with the card's hash
    return pipeline


def _read_card(path: Path) -> dict[str, Any]:
    remedy = "export the model again, or copy its card along"
    if not path.is_file():
        raise AttentionError(f"there is no card {path.name}", "the card beside the model", remedy)
    try:
        card = read_json(path)
    except ValueError as error:
        raise AttentionError(f"the card {path.name} is no JSON", "the card of an export", remedy) from error
    if (
        not isinstance(card, dict)
        or not isinstance(card.get("sha256"), str)
        or not isinstance(card.get("versions"), dict)
    ):
        raise AttentionError(f"the card {path.name} has no hash or no versions", "the card of an export", remedy)
    return card
