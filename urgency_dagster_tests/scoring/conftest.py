"""The storage root of recordings with a trained model, and predictors of it."""

from pathlib import Path

import pytest

from urgency_dagster.scoring import load_predictor
from urgency_dagster.urgency import Predictor
from urgency_dagster_tests.urgency.conftest import spoken, text_model
from urgency_dagster_tests.urgency.spoken import SpokenRoot

__all__ = ["spoken", "text_model"]


@pytest.fixture(scope="session")
def predictor(spoken: SpokenRoot) -> Predictor:
    return load_predictor(spoken.paths.root)


@pytest.fixture(scope="session")
def calls(spoken: SpokenRoot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recordings of the validation side and their labels beside them."""
    folder = tmp_path_factory.mktemp("calls")
    archive = spoken.paths.archive("V_광주_구급")
    for source in (*archive.audio.iterdir(), *archive.labels.iterdir()):
        (folder / source.name).write_bytes(source.read_bytes())
    return folder
