"""The storage root of recordings with a trained model, predictors of it, and recordings that land for scoring."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import ScoringArchive, load_predictor, scan_scoring
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


@dataclass(frozen=True)
class Landed:
    """A storage root with recordings of the validation side in `landing/scoring/calls`, and their labels."""

    paths: StoragePaths
    folder: Path

    @property
    def archive(self) -> ScoringArchive:
        """The archive as it lies there now."""
        return scan_scoring(self.paths.landing_scoring).archives[self.folder.name]

    def land(self, name: str, content: bytes) -> None:
        """Adds a file to the archive."""
        (self.folder / name).write_bytes(content)


def land_calls(calls: Path, paths: StoragePaths) -> Landed:
    """Copies the folder `calls` into the landing folder of a root."""
    folder = paths.landing_scoring / "calls"
    shutil.copytree(calls, folder)
    return Landed(paths, folder)


@pytest.fixture
def landed(calls: Path, paths: StoragePaths) -> Landed:
    return land_calls(calls, paths)
