"""A storage root whose recordings sound like speech, with a speech model that recognises, and copies of it."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained
from urgency_dagster.scoring import GapConfig, load_predictor, measure_label_free_gap
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.listening.conftest import save_ctc_model
from urgency_dagster_tests.listening.syllables import RATE, silence, syllables
from urgency_dagster_tests.urgency.spoken import CONFIG as CONFIG_OF_TRAINING
from urgency_dagster_tests.urgency.spoken import SPOKEN_ARCHIVES, SpokenRoot, write_spoken_root

CONFIG = GapConfig(device="cpu", bootstrap_resamples=50)


def speech(archive: str, number: int) -> bytes:
    """Speech from 1 s to 3 s and from 4 s to 6 s. No two calls are alike."""
    seed = 1000 * sorted(SPOKEN_ARCHIVES).index(archive) + number
    parts = [silence(1000), syllables(2000, seed), silence(1000), syllables(2000, seed + 500)]
    stream = io.BytesIO()
    soundfile.write(stream, np.concatenate(parts), RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


@pytest.fixture(scope="session")
def speaking(tmp_path_factory: pytest.TempPathFactory, build: Builder, text_model: PretrainedModel) -> SpokenRoot:
    """Not to be written to."""
    folder = tmp_path_factory.mktemp("speaking")
    (folder / "speech").mkdir()
    save_ctc_model(folder / "speech")
    model = find_pretrained(str(folder / "speech"), "URGENCY_SPEECH_MODEL")
    return write_spoken_root(
        folder,
        build,
        text_model,
        record=speech,
        speech_model=model,
        recogniser="ctc",
        training=CONFIG_OF_TRAINING.changed(epochs=15),  # so that the text matters to the model
    )


@dataclass(frozen=True)
class Measured:
    """A storage root after the measurement, and what it returned."""

    paths: StoragePaths
    metrics: dict[str, Any]


@pytest.fixture(scope="session")
def once(speaking: SpokenRoot, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Measured once. Not to be written to."""
    paths = StoragePaths(Path(shutil.copytree(speaking.paths.root, tmp_path_factory.mktemp("once") / "root")))
    return Measured(paths, measure_label_free_gap(paths, load_predictor(paths.root), CONFIG))


@pytest.fixture
def again(once: Measured, tmp_path: Path) -> StoragePaths:
    """A measured root that may be changed."""
    return StoragePaths(Path(shutil.copytree(once.paths.root, tmp_path / "again")))


@pytest.fixture
def copied(speaking: SpokenRoot, tmp_path: Path) -> StoragePaths:
    """A root without a measurement that may be changed."""
    return StoragePaths(Path(shutil.copytree(speaking.paths.root, tmp_path / "copied")))
