"""A storage root with an urgency model and all attention models, and clients of the application that serves it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from urgency_dagster.attention import MODEL_NAMES, export_models, write_results
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import CrossValidationConfig
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.urgency.conftest import spoken, text_model
from urgency_dagster_tests.urgency.spoken import SpokenRoot

__all__ = ["spoken", "text_model"]

ADDRESS = "http://127.0.0.1:8000"
"""The address that a client names. The server refuses others."""


@dataclass(frozen=True)
class ServedRoot:
    """A storage root with every model. Not to be written to.

    Attributes:
        paths: the storage root.
        data: the samples of which the attention models were made.
        spoken: the calls of which the urgency model was made.
    """

    paths: StoragePaths
    data: AttentionData
    spoken: SpokenRoot

    @property
    def config(self) -> ServingConfig:
        """The configuration that serves it."""
        return ServingConfig(self.paths.root)


@pytest.fixture(scope="session")
def served_root(spoken: SpokenRoot, tmp_path_factory: pytest.TempPathFactory) -> ServedRoot:
    paths = StoragePaths(tmp_path_factory.mktemp("served") / "root")
    shutil.copytree(spoken.paths.root, paths.root)
    data = make_data()
    for result in cross_validate(data, MODEL_NAMES, CrossValidationConfig(backend="sequential")).values():
        write_results(result, paths.attention)
    list(export_models(data, MODEL_NAMES, paths.attention))
    return ServedRoot(paths, data, spoken)


@pytest.fixture(scope="session")
def client(served_root: ServedRoot) -> Iterator[TestClient]:
    """A client of the application with every model, in this process."""
    with TestClient(create_app(served_root.config), base_url=ADDRESS) as client:
        yield client


@pytest.fixture(scope="session")
def recording(build: Builder) -> bytes:
    """A WAV of six seconds."""
    return build.wav(6000, seed=5)


@pytest.fixture
def root_without_models(tmp_path: Path) -> StoragePaths:
    """An empty storage root."""
    (tmp_path / "root").mkdir()
    return StoragePaths(tmp_path / "root")
