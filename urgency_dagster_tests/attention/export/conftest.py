"""One cross-validation of all models, and one export, for all tests of the room."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.pipeline import Pipeline

from urgency_dagster.attention import export_models, write_results
from urgency_dagster.attention.export.files import fit_all_rows, fit_pipeline
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.paths import AttentionPaths, StoragePaths

SUFFIXES = (".pkl", ".skops")


def export_one(data: AttentionData, model: str, paths: AttentionPaths) -> dict[str, Any]:
    """Exports one model; returns its card."""
    return dict(export_models(data, [model], paths))[model]


def fitted(data: AttentionData, model: str, protocol: Protocol | None = None) -> Pipeline:
    """The pipeline that is exported, before it becomes a file."""
    return fit_pipeline(model, fit_all_rows(data, protocol or Protocol()))


@pytest.fixture(scope="package")
def cross_validated_root(data: AttentionData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cross_validated")
    results = cross_validate(data, MODEL_NAMES, CrossValidationConfig(backend="sequential"))
    for result in results.values():
        write_results(result, StoragePaths(root).attention)
    return root


@pytest.fixture(scope="package")
def exported_root(data: AttentionData, cross_validated_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    shutil.copytree(cross_validated_root, root, dirs_exist_ok=True)
    export_one(data, "logreg", StoragePaths(root).attention)
    return root


@pytest.fixture
def cross_validated(cross_validated_root: Path, copy_of: Callable[[Path], AttentionPaths]) -> AttentionPaths:
    return copy_of(cross_validated_root)


@pytest.fixture
def exported(exported_root: Path, copy_of: Callable[[Path], AttentionPaths]) -> AttentionPaths:
    return copy_of(exported_root)
