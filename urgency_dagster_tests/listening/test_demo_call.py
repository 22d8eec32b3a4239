"""A spoken call of the demo without its label, by every recogniser."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from urgency_dagster import calls
from urgency_dagster.listening import load_listener
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained
from urgency_dagster.settings import Settings
from urgency_dagster_tests.listening.recognition.transcription_server import TranscriptionServer, running


@pytest.fixture
def server() -> Iterator[TranscriptionServer]:
    with running() as started:
        yield started


def spoken_call(root: Path) -> bytes:
    """The first recording of the validation side."""
    archive = next(StoragePaths(root).landing_calls.rglob("VS_*.zip"))
    with zipfile.ZipFile(archive) as members:
        return members.read(min(name for name in members.namelist() if name.endswith(".wav")))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ctc", "whisper", "http", "none"])
def test_a_spoken_call_gives_turns_text_and_vectors(
    demo_root: Path, whisper_model: PretrainedModel, server: TranscriptionServer, kind: str
) -> None:
    names = {"whisper": f"whisper:{whisper_model.folder}", "http": f"http:{server.url}"}
    source = find_pretrained(Settings.load(demo_root, {}).speech_model, "URGENCY_SPEECH_MODEL")
    listener = load_listener(source, device="cpu", recogniser=names.get(kind, kind))
    waveform = calls.load_waveform(spoken_call(demo_root))
    first, second = (listener.listen(waveform) for _ in range(2))
    assert len(first.turns) > 3
    assert first.vectors.shape == (len(first.turns), 1, 48)
    assert (first.turns, first.listening) == (second.turns, kind)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    texts = [turn.text for turn in first.turns]
    assert texts == [None] * len(texts) if kind == "none" else all(texts)
