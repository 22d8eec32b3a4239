"""A storage root whose recordings sound like speech, with a speech model that recognises, and copies of it."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.listening.conftest import save_ctc_model
from urgency_dagster_tests.listening.syllables import RATE, silence, syllables
from urgency_dagster_tests.urgency.spoken import SpokenRoot, write_spoken_root


def speech(number: int) -> bytes:
    """Speech from 1 s to 3 s and from 4 s to 6 s."""
    parts = [silence(1000), syllables(2000, number), silence(1000), syllables(2000, number + 100)]
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
    return write_spoken_root(folder, build, text_model, record=speech, speech_model=model, recogniser="ctc")


@pytest.fixture
def copied(speaking: SpokenRoot, tmp_path: Path) -> StoragePaths:
    """A copy that may be changed."""
    return StoragePaths(Path(shutil.copytree(speaking.paths.root, tmp_path / "copied")))
