"""Any recording without a label is heard: turns, vectors and speakers, or no turn where there is no speech."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from urgency_dagster import calls
from urgency_dagster.errors import AudioError, InputError
from urgency_dagster.listening import Listener, SpeakerModel, Turn, load_listener
from urgency_dagster.listening.listener import AUDIO_AT_ONCE_MS, TURNS_AT_ONCE, _batches
from urgency_dagster.listening.turns import TurnAudio
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.conftest import GROUP, LAYER
from urgency_dagster_tests.listening.syllables import RATE, silence, syllables

WIDTH = 16
"""Width of the tiny models' vectors."""


@pytest.fixture(scope="session")
def speaker_model() -> SpeakerModel:
    return SpeakerModel(np.random.default_rng(0).normal(size=WIDTH), 0.0, {})


@pytest.fixture(scope="session")
def listener(models: dict[str, PretrainedModel], speaker_model: SpeakerModel) -> Listener:
    return load_listener(models[LAYER], device="cpu", speaker_model=speaker_model)


def spoken() -> np.ndarray:
    """7 s of silence and speech: 2 s and 1.5 s."""
    return np.concatenate([silence(1000), syllables(2000), silence(1500), syllables(1500, seed=1), silence(1000)])


@pytest.mark.parametrize("kind", [LAYER, GROUP])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_recording_has_turns_vectors_and_speakers(
    models: dict[str, PretrainedModel], speaker_model: SpeakerModel, tmp_path: Path, rate: int, channels: int, kind: str
) -> None:
    samples = soxr.resample(spoken(), RATE, rate, "HQ")
    soundfile.write(tmp_path / "a.wav", np.stack([samples] * channels, axis=1), rate, "PCM_16")
    listener = load_listener(models[kind], audio_tokens=2, device="cpu", speaker_model=speaker_model)
    heard = listener.listen(calls.waveform_blocks(tmp_path / "a.wav"))
    assert len(heard.turns) == 2
    for turn, start_ms, end_ms in zip(heard.turns, (1000, 4500), (3000, 6000), strict=True):
        assert abs(turn.start_ms - start_ms) < 200
        assert abs(turn.end_ms - end_ms) < 200
        assert turn.speaker in {"caller", "call_taker"}
    assert (heard.vectors.shape, heard.duration_ms) == ((2, 2, WIDTH), 7000)
    assert np.isfinite(heard.vectors).all()
    assert (heard.listening, heard.rejected) == ("none", ())


def test_cut_turns_have_the_vectors_of_the_same_turns_when_given(listener: Listener) -> None:
    found = listener.listen(spoken())
    given = listener.listen(spoken(), [Turn(turn.start_ms, turn.end_ms) for turn in found.turns])
    np.testing.assert_array_equal(found.vectors, given.vectors)
    assert found.turns == given.turns


def test_cut_turns_get_the_text_of_the_recogniser(ctc_model: PretrainedModel) -> None:
    heard = load_listener(ctc_model, device="cpu", recogniser="ctc").listen(spoken())
    assert len(heard.turns) == 2
    assert heard.listening == "ctc"
    assert all(turn.text is not None for turn in heard.turns)


@pytest.mark.parametrize("block", [1000, 16_000, 10**9])
@pytest.mark.parametrize("turns", [None, [Turn(4000, 4900), Turn(0, 3500), Turn(6900, 9000), Turn(-1, 3)]])
def test_blocks_are_heard_as_their_whole(listener: Listener, turns: list[Turn] | None, block: int) -> None:
    waveform = spoken()
    whole = listener.listen(waveform, turns)
    blocks = (waveform[start : start + block] for start in range(0, len(waveform), block))
    heard = listener.listen(blocks, turns)
    assert (heard.turns, heard.rejected, heard.duration_ms) == (whole.turns, whole.rejected, whole.duration_ms)
    np.testing.assert_array_equal(heard.vectors, whole.vectors)


def music() -> np.ndarray:
    """Chords of a plucked instrument."""
    times = np.arange(RATE) / RATE
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    tones = [np.sin(2 * np.pi * np.outer(chord, times)).sum(axis=0) * np.exp(-3 * times) for chord in chords * 2]
    return (0.2 * np.concatenate(tones)).astype(np.float32)


NO_SPEECH: dict[str, Callable[[], np.ndarray]] = {
    "silence": lambda: silence(30_000),
    "3 s of silence": lambda: silence(3000),
    "noise": lambda: np.random.default_rng(0).normal(0, 0.1, 8 * RATE).astype(np.float32),
    "quiet noise": lambda: np.random.default_rng(0).normal(0, 0.001, 8 * RATE).astype(np.float32),
    "music": music,
    "a tone": lambda: (0.3 * np.sin(2 * np.pi * 660 * np.arange(8 * RATE) / RATE)).astype(np.float32),
    "clipped": lambda: np.ones(3 * RATE, np.float32),
    "one sample": lambda: np.zeros(1, np.float32),
    "no sample": lambda: np.zeros(0, np.float32),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_a_recording_without_speech_has_no_turn(listener: Listener, name: str) -> None:
    waveform = NO_SPEECH[name]()
    heard = listener.listen(waveform)
    assert (heard.turns, heard.vectors.shape, heard.rejected) == ((), (0, 1, WIDTH), ())
    assert (heard.listening, heard.duration_ms) == ("none", len(waveform) // 16)


def test_three_seconds_of_speech_are_heard(listener: Listener) -> None:
    assert len(listener.listen(syllables(3000)).turns) == 1


def test_speech_over_noise_is_heard(listener: Listener) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 7 * RATE).astype(np.float32)
    heard = np.zeros(7000, bool)
    for turn in listener.listen(spoken() + noise).turns:
        heard[turn.start_ms : turn.end_ms] = True
    assert heard[1000:3000].mean() > 0.8
    assert heard[4500:6000].mean() > 0.8


def test_a_speaker_that_is_given_is_kept(listener: Listener, speaker_model: SpeakerModel) -> None:
    turns = [Turn(1000, 2000, "네", "caller"), Turn(2000, 3000, "네", "2"), Turn(4500, 5500, "네")]
    heard = listener.listen(spoken(), turns)
    assert [turn.speaker for turn in heard.turns[:2]] == ["caller", "2"]
    assert heard.turns[2].speaker == speaker_model.speakers(heard.vectors)[2]


def test_without_a_speaker_model_nobody_is_named(models: dict[str, PretrainedModel]) -> None:
    heard = load_listener(models[LAYER], device="cpu").listen(spoken())
    assert [turn.speaker for turn in heard.turns] == [None, None]


def test_a_speaker_model_of_another_speech_model_is_refused(models: dict[str, PretrainedModel]) -> None:
    other = SpeakerModel(np.zeros(WIDTH + 1), 0.0, {})
    with pytest.raises(InputError, match="speech model of the training"):
        load_listener(models[LAYER], device="cpu", speaker_model=other).listen(spoken())


def test_a_recording_that_breaks_off_is_an_error(listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match="not decodable"):
        listener.listen(calls.waveform_blocks(tmp_path / "a.wav"))


@pytest.mark.parametrize("blocks", [None, 3, "text", [np.zeros(4)], [np.zeros(4, np.float32), np.zeros((4, 1))]])
def test_blocks_of_another_kind_are_refused(listener: Listener, blocks: object) -> None:
    with pytest.raises(InputError, match="load_waveform"):
        listener.listen(blocks)  # type: ignore[arg-type]


def test_turns_that_are_embedded_together_are_bounded_in_number_and_in_length() -> None:
    short, long = (TurnAudio(Turn(0, ms), silence(ms)) for ms in (500, 50_000))
    assert [len(batch) for batch in _batches([short] * 150)] == [TURNS_AT_ONCE, TURNS_AT_ONCE, 22]
    assert [len(batch) for batch in _batches([long] * 7)] == [3, 3, 1]
    assert 3 * 50_000 >= AUDIO_AT_ONCE_MS > 2 * 50_000


MEASURE = """
import resource, sys
import numpy as np
import torch
from urgency_dagster import calls
from urgency_dagster.listening import load_listener
from urgency_dagster.pretrained import PretrainedModel
from pathlib import Path

torch.set_num_threads(1)
listener = load_listener(PretrainedModel("tiny", Path(sys.argv[1]), "local"), device="cpu")
for recording in sys.argv[2:]:
    heard = listener.listen(calls.waveform_blocks(recording))
    print(heard.duration_ms, len(heard.turns), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
"""Prints length, turns and the peak of the memory in MB after listening to each recording."""


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_recording(models: dict[str, PretrainedModel], tmp_path: Path) -> None:
    """40 minutes as a waveform take 154 MB, 10 minutes 38 MB."""
    minute = np.concatenate([syllables(8000), silence(12_000), syllables(20_000, seed=1), silence(20_000)])
    for name, minutes in (("short", 10), ("long", 40)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", 8000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute[::2])
    command = [
        sys.executable,
        "-c",
        MEASURE,
        str(models[LAYER].folder),
        *(str(tmp_path / f"{n}.wav") for n in ("short", "long")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    short, long = (list(map(int, line.split())) for line in done.stdout.splitlines())
    assert (short[0], long[0]) == (600_000, 2_400_000)
    assert 3.9 < long[1] / short[1] < 4.1
    assert long[2] - short[2] < 40
