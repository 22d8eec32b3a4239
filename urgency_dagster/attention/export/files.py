"""Fitted models as files for use elsewhere, and the only way to load them. Nothing is judged here.

Each model lies in two files, a pickle and the same as `.skops`. A pickle can run anything, so that it is only opened
when its bytes are those of its card, which proves that it is whole, not who wrote it; of a stranger's model load the
`.skops`, in which no code runs.
"""

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.attention.export.skops_files import from_skops, to_skops
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, THRESHOLD, Protocol
from urgency_dagster.attention.validation.results import read_metrics, read_protocol
from urgency_dagster.attention.versions import library_versions
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.writing import read_json, replacing, write_json

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


HASHES = {".pkl": "sha256", ".skops": "skops_sha256"}
"""Where the card holds the hash of each of its files, by suffix."""

THREADING = "n_jobs is 1 in every estimator: load the model once, and give each worker thread or process its own rows"


def fit_pipeline(data: AttentionData, model: str, protocol: Protocol) -> "Pipeline":
    """Scaler, selector and model, fitted on all rows, as one Pipeline.

    It takes a DataFrame with the columns of `data.X`, in any order.

    Raises:
        NoFeatureError: the selector keeps no feature.
        AttentionError: the rows cannot be oversampled.
    """
    from sklearn.pipeline import Pipeline

    from urgency_dagster.attention.validation.models import fit_estimator, fit_preprocessing, one_thread, training_rows

    with one_thread():
        preprocessing = fit_preprocessing(data.X, data.y, protocol.seed)
        rows = training_rows(preprocessing, data.X, data.y, data.groups, protocol)
        estimator = fit_estimator(model, rows, protocol)
    return Pipeline([*preprocessing.steps, ("model", estimator)])


def export_model(data: AttentionData, model: str, paths: AttentionPaths) -> dict[str, Any]:
    """Refits a cross-validated model on all rows, stores it in both formats and, last, its card; returns the card.

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
    contents = {".pkl": pickle.dumps(pipeline, protocol=5), ".skops": to_skops(pipeline)}
    # Without a card no file can be loaded, so an interrupted export leaves nothing that does not fit.
    paths.card(model).unlink(missing_ok=True)
    for suffix, content in contents.items():
        with replacing(paths.model(model, suffix)) as temporary:
            temporary.write_bytes(content)
    card = _card(data, metrics, pipeline, contents)
    write_json(paths.card(model), card)
    return card


def _card(
    data: AttentionData, metrics: dict[str, Any], pipeline: "Pipeline", contents: dict[str, bytes]
) -> dict[str, Any]:
    selected = pipeline[:-1].get_feature_names_out().tolist()
    return {
        "model": metrics["model"],
        **{HASHES[suffix]: hashlib.sha256(content).hexdigest() for suffix, content in contents.items()},
        "versions": library_versions(),
        "columns": [{"name": str(name), "dtype": str(dtype)} for name, dtype in data.X.dtypes.items()],
        "selected_features": selected,
        "classes": [0, 1],
        "threshold": THRESHOLD,
        "threading": THREADING,
        "training_data": metrics["data"],
        "cross_validation": {key: metrics[key] for key in ("mean", "sd", "protocol")},
    }


def load_attention_model(path: Path) -> "Pipeline":
    """The fitted Pipeline in `<model>.pkl` or `<model>.skops`, whose card lies beside it as `<model>.json`.

    `predict_proba` takes a DataFrame with at least the card's columns, in any order; a missing one is an
    AttentionError that names it. Class 1 is meant when its probability is above the card's threshold.

    Raises:
        AttentionError: the file or its card is missing or unreadable, the bytes are not those of the card, a library
            has another version, or a `.skops` file names a type that is not trusted. Nothing is opened then.
    """
    if path.suffix not in HASHES:
        raise AttentionError(f"{path.name} is no model", f"a file that ends in {' or '.join(HASHES)}", "name one")
    card = _read_card(path.with_suffix(".json"))
    if not path.is_file():
        raise AttentionError(f"there is no model {path.name}", "an exported model", "export it")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card[HASHES[path.suffix]]:
        raise AttentionError(f"{path.name} is not the file of its card", "the exported bytes", "export it again")
    _check_versions(path.name, card["versions"])
    if path.suffix == ".skops":
        return from_skops(content)
    pipeline: Pipeline = pickle.loads(content)  # noqa: S301 - the bytes were compared with the card's hash
    return pipeline


def _check_versions(name: str, wanted: dict[str, Any]) -> None:
    """Compares in both directions: a library that the card does not tell of may have any version there."""
    here = library_versions()
    other = [
        f"{library} {wanted.get(library, 'of unknown version')} (here {here.get(library)})"
        for library in sorted({*wanted, *here})
        if wanted.get(library) != here.get(library)
    ]
    if other:
        raise AttentionError(
            f"{name} was written with {', '.join(other)}", "equal versions", "install them or export it again"
        )


def _read_card(path: Path) -> dict[str, Any]:
    remedy = "export the model again, or copy its card along"
    if not path.is_file():
        raise AttentionError(f"there is no card {path.name}", "the card beside the model", remedy)
    try:
        card = read_json(path)
    except (ValueError, RecursionError) as error:
        raise AttentionError(f"the card {path.name} is no JSON", "the card of an export", remedy) from error
    if not _is_card(card):
        raise AttentionError(f"the card {path.name} has no hashes or no versions", "the card of an export", remedy)
    return card


def _is_card(card: Any) -> bool:
    """Whether what decides about loading is there: a hash of each file, and versions."""
    return (
        isinstance(card, dict)
        and all(isinstance(card.get(key), str) for key in HASHES.values())
        and isinstance(card.get("versions"), dict)
    )
