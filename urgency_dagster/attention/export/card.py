"""The card of an exported model: `<model>.json` beside `<model>.pkl` and `<model>.skops`.

The card holds the SHA-256 of both files and the library versions. A model is opened only if both match.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from urgency_dagster.attention.validation.protocol import THRESHOLD
from urgency_dagster.attention.versions import library_versions
from urgency_dagster.errors import AttentionError
from urgency_dagster.writing import read_json

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from urgency_dagster.attention.audit.findings import Finding
    from urgency_dagster.attention.reading.pickles import AttentionData

HASHES = {".pkl": "sha256", ".skops": "skops_sha256"}
"""The card's key for the hash of each file, by suffix."""

UNUSED_LIBRARIES = {".pkl": frozenset({"skops"}), ".skops": frozenset()}
"""The libraries that reading a file does not need, by suffix. Their versions are not compared."""

ACCEPTED = "accepted_findings"
"""The card's key for the findings of the audit that a person accepted; absent without any."""

THREADING = "n_jobs is 1 in every estimator: load the model once, and give each worker thread or process its own rows"


class _Column(BaseModel):
    name: str


class _TrainingData(BaseModel):
    source_sha256: str


class _Finding(BaseModel):
    kind: str


class _Card(BaseModel):
    """What loading a model reads from its card. It may hold more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    model: str
    sha256: str
    skops_sha256: str
    versions: dict[str, str]
    columns: list[_Column]
    threshold: float
    training_data: _TrainingData
    accepted_findings: list[_Finding] = []


def model_card(
    data: "AttentionData",
    metrics: Mapping[str, Any],
    pipeline: "Pipeline",
    contents: Mapping[str, bytes],
    accepted: Sequence["Finding"] = (),
) -> dict[str, Any]:
    """The card of a model as JSON values.

    Args:
        data: the samples that the model was fitted on.
        metrics: the stored metrics of its cross-validation.
        pipeline: the fitted model.
        contents: the bytes of each file, by suffix.
        accepted: the findings of the audit that a person accepted.
    """
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
        **({ACCEPTED: [finding.to_json() for finding in accepted]} if accepted else {}),
        "training_data": metrics["data"],
        "cross_validation": {key: metrics[key] for key in ("mean", "sd", "protocol")},
    }


def read_card(path: Path) -> dict[str, Any]:
    """The stored card.

    Raises:
        AttentionError: the file is missing or not JSON, or a value that loading reads is missing or of another type.
    """
    remedy = "export the model again, or copy its card to the same folder"
    if not path.is_file():
        raise AttentionError(f"there is no card {path.name}", "the card beside the model", remedy)
    try:
        card: dict[str, Any] = read_json(path)
        _Card.model_validate(card)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        received = f"the card {path.name} is incomplete or damaged, at {place!r}"
        raise AttentionError(received, "the card of an export", remedy) from error
    except (OSError, ValueError, RecursionError) as error:
        raise AttentionError(f"the card {path.name} is not JSON", "the card of an export", remedy) from error
    return card


def check_hash(file: Path, content: bytes, card: Mapping[str, Any]) -> None:
    """Compares the bytes of a model file with its card.

    Raises:
        AttentionError: the SHA-256 differs.
    """
    if hashlib.sha256(content).hexdigest() != card[HASHES[file.suffix]]:
        raise AttentionError(f"{file.name} does not match the hash in its card", "the exported file", "export it again")


def check_versions(file: Path, card: Mapping[str, Any]) -> None:
    """Compares the library versions of the card with the installed ones.

    Raises:
        AttentionError: a version differs, is not in the card, or belongs to a library that is not installed.
    """
    exported, installed = card["versions"], library_versions()
    different = [
        f"{name} {exported.get(name, 'of unknown version')} (here {installed.get(name)})"
        for name in sorted({*exported, *installed} - UNUSED_LIBRARIES[file.suffix])
        if exported.get(name) != installed.get(name)
    ]
    if different:
        received = f"{file.name} was written with {', '.join(different)}"
        raise AttentionError(received, "equal versions", "install them or export it again")
