"""The windows are those of silero-vad's own reader, without a connection and without a change to the process."""

import socket
import subprocess
import sys
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from urgency_dagster.listening.voice_activity import CONTEXT_SAMPLES, WINDOW_SAMPLES, VoiceActivity, speech_windows
from urgency_dagster_tests.listening.syllables import silence, syllables


def library_model() -> Any:
    from silero_vad import load_silero_vad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return load_silero_vad()


def own_probabilities(waveform: "np.ndarray") -> list[float]:
    """The probabilities as silero-vad's own `get_speech_timestamps` computes them."""
    model = library_model()
    padded = np.pad(waveform, (0, -len(waveform) % WINDOW_SAMPLES))
    with torch.no_grad():
        return [model(window, 16_000).item() for window in torch.from_numpy(padded).view(-1, WINDOW_SAMPLES)]


def spoken() -> "np.ndarray":
    return np.concatenate([silence(700), syllables(2000), silence(333)])


@pytest.mark.parametrize("duration_ms", [100, 2000, 9000])
def test_the_probabilities_are_those_of_the_library(duration_ms: int) -> None:
    waveform = np.concatenate([silence(700), syllables(duration_ms), silence(333)])
    heard = [window.probability for window in speech_windows([waveform])]
    np.testing.assert_allclose(heard, own_probabilities(waveform), rtol=0, atol=1e-5)
    assert max(heard[:20]) < 0.1 < 0.6 < max(heard)


def test_the_level_is_the_root_mean_square() -> None:
    waveform = np.repeat(np.array([0.5, 0.25], np.float32), WINDOW_SAMPLES)
    assert [window.level for window in speech_windows([waveform])] == [0.5, 0.25]


@pytest.mark.parametrize("sizes", [[1, 511, 512, 513], [100_000], [7], [48_000, 1]])
def test_windows_do_not_depend_on_the_blocks(sizes: list[int]) -> None:
    waveform = spoken()
    starts = np.cumsum([0, *sizes * (len(waveform) // sum(sizes) + 1)])
    blocks = [waveform[start:end] for start, end in pairwise(starts)]
    assert list(speech_windows(blocks)) == list(speech_windows([waveform]))


@pytest.mark.parametrize("size", [160, 1600, 5000, 20_000])
def test_windows_that_are_asked_for_early_are_those_of_the_whole_recording(size: int) -> None:
    waveform, activity = spoken(), VoiceActivity()
    heard = []
    for start in range(0, len(waveform), size):
        heard += [*activity.add(waveform[start : start + size]), *activity.arrived()]
        assert len(heard) == min(start + size, len(waveform)) // WINDOW_SAMPLES
        assert activity.unjudged == 0
    heard += activity.finish()
    assert heard == list(speech_windows([waveform]))


def test_two_recordings_at_a_time_do_not_disturb_each_other() -> None:
    first, second = spoken(), syllables(2000, seed=1)
    pairs = zip(speech_windows([first]), speech_windows([second]), strict=False)
    heard, _ = zip(*pairs, strict=True)
    assert list(heard) == list(speech_windows([first]))[: len(heard)]


def test_the_network_has_only_the_layers_that_are_used() -> None:
    network = library_model()._model
    layers = {name for name, _ in network.named_children()}
    assert layers == {"stft", "encoder", "decoder"}
    assert [name for name, _ in network.decoder.named_children()] == ["rnn", "decoder"]
    assert network.context_size_samples == CONTEXT_SAMPLES


def test_no_samples_have_no_window() -> None:
    assert list(speech_windows([])) == []
    assert list(speech_windows([np.empty(0, np.float32)])) == []


def test_no_connection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from urgency_dagster.listening import voice_activity

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a connection")

    voice_activity._silero_vad.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(list(speech_windows([silence(320)]))) == 10


@pytest.mark.slow
def test_the_threads_of_the_process_stay() -> None:
    """The import of silero-vad sets one thread."""
    code = (
        "import numpy, torch\n"
        "from urgency_dagster.listening.voice_activity import speech_windows\n"
        "torch.set_num_threads(2)\n"
        "list(speech_windows([numpy.zeros(512, 'float32')]))\n"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "2\n"
