"""Recordings and nothing else: every one has an answer or a reason, and none disturbs the next."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from urgency_dagster import urgency
from urgency_dagster.errors import NoSpeechError
from urgency_dagster.urgency import RecordingPrediction, RejectedRecording
from urgency_dagster.urgency.predictor import Predictor
from urgency_dagster_tests.listening.syllables import RATE, silence, syllables
from urgency_dagster_tests.urgency.spoken import SpokenRoot

TIMES = np.arange(6 * RATE) / RATE
SPEECH = np.concatenate([silence(800), syllables(2500), silence(1200), syllables(1500, seed=1), silence(500)])

ANSWERED = {
    "speech": SPEECH,
    "3 s": syllables(3000),
    "speech over noise": SPEECH + np.random.default_rng(0).normal(0, 0.01, len(SPEECH)),
    "long speech": np.tile(SPEECH, 10),
}
REJECTED = {
    "silence": np.zeros(3 * RATE),
    "noise": np.random.default_rng(0).normal(0, 0.1, 3 * RATE),
    "music": 0.2 * np.sin(2 * np.pi * np.outer([262, 330, 392], TIMES)).sum(axis=0) * np.exp(-(TIMES % 1)),
    "half a second": syllables(400),
}


@pytest.fixture(scope="module")
def predictor(spoken: SpokenRoot) -> Predictor:
    return urgency.load_model(spoken.model, "cpu", speech_model=spoken.speech_model.folder, recogniser="none")


def written(folder: Path, name: str, rate: int, channels: int) -> Path:
    samples = soxr.resample((ANSWERED | REJECTED)[name].astype(np.float32), RATE, rate, "HQ")
    path = folder / f"{name} {rate} {channels}.wav"
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate)
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_every_recording_has_an_answer_or_a_reason(
    predictor: Predictor, tmp_path: Path, rate: int, channels: int
) -> None:
    recordings = {name: written(tmp_path, name, rate, channels) for name in (*ANSWERED, *REJECTED)}
    answers = dict(zip(recordings, predictor.predict_many((path, None) for path in recordings.values()), strict=True))
    for name in ANSWERED:
        answer = answers[name]
        assert isinstance(answer, RecordingPrediction)
        assert answer.utterances
        assert answer.urgency
        assert sum(answer.urgency.probabilities.values()) == pytest.approx(1)
        assert {utterance.turn.speaker for utterance in answer.utterances} <= {"caller", "call_taker"}
        assert answer.rejected == ()
    for name in REJECTED:
        answer = answers[name]
        assert isinstance(answer, RejectedRecording)
        assert answer.reason.startswith("no speech was found")


def test_one_recording_alone_is_an_answer_or_an_error(predictor: Predictor, tmp_path: Path) -> None:
    speech = predictor.predict(written(tmp_path, "speech", 8000, 1))
    assert [utterance.turn.start_ms // 1000 for utterance in speech.utterances] == [0, 4]
    with pytest.raises(NoSpeechError):
        predictor.predict(written(tmp_path, "silence", 8000, 1))


def test_samples_in_memory_are_answered_as_their_file(predictor: Predictor, tmp_path: Path) -> None:
    path = written(tmp_path, "speech", 8000, 1)
    assert predictor.predict(soundfile.read(path, dtype="float32")) == predictor.predict(path)


@pytest.mark.slow
def test_a_recording_of_more_than_an_hour_is_answered(predictor: Predictor, tmp_path: Path) -> None:
    """Nearly all of it is digital silence, which costs little."""
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8000, 1) as file:
        file.write(SPEECH[::2])
        for _ in range(61):
            file.write(np.zeros(60 * 8000, np.float32))
        file.write(SPEECH[::2])
    answer = predictor.predict(tmp_path / "long.flac")
    assert answer.duration_ms == 61 * 60_000 + 2 * (len(SPEECH) // 16)
    starts = [utterance.turn.start_ms // 60_000 for utterance in answer.utterances]
    assert starts == sorted(starts)
    assert set(starts) == {0, 61}
