"""A storage root with an urgency model that a test may change."""

import shutil
from pathlib import Path

import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig
from urgency_dagster_tests.urgency.spoken import SpokenRoot


@pytest.fixture
def own_root(spoken: SpokenRoot, tmp_path: Path) -> StoragePaths:
    """Without attention models."""
    paths = StoragePaths(tmp_path / "own")
    shutil.copytree(spoken.model, paths.urgency.model)
    shutil.copy(spoken.paths.settings_env, paths.settings_env)
    return paths


@pytest.fixture
def config(own_root: StoragePaths) -> ServingConfig:
    return ServingConfig(storage=own_root.root)
