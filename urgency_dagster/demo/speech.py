"""Korean speech from text, through the espeak-ng library that the wheel `espeakng-loader` carries.

A line of text becomes a waveform here; who speaks when, and how a telephone sounds, is in `recordings`.
"""

import ctypes
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.errors import AudioError

if TYPE_CHECKING:
    import numpy.typing as npt

VOICE = "ko"
SAMPLE_RATE_HZ = 22_050
"""What espeak-ng synthesises at."""

# Constants of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4

_SYNTH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

_SILENCE = 200
"""Samples below this size at either end of an utterance are cut off, in 16-bit steps."""


@dataclass(frozen=True)
class Line:
    """One line to speak.

    Attributes:
        text: Korean text.
        rate_wpm: speed in words per minute, 80 to 450; the voice's own is 175.
        pitch: height, 0 to 100; the voice's own is 50.
        pitch_range: how much the pitch moves, 0 (monotone) to 100.
        volume: loudness, 0 to 200; the voice's own is 100.
    """

    text: str
    rate_wpm: int = 175
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100


def speak(lines: Sequence[Line]) -> "list[npt.NDArray[np.int16]]":
    """The waveform of each line: mono int16 at `SAMPLE_RATE_HZ`, silence at both ends cut off.

    The library carries state from one line to the next, and starting it again does not clear that. Every call
    therefore speaks in a process of its own: the same lines give the same samples, whatever was spoken before.

    Raises:
        AudioError: the synthesiser cannot be loaded, does not start, refuses a line, or its process dies.
    """
    with own_process() as process:
        return process.submit(_speak_here, list(lines)).result()


@contextmanager
def own_process() -> Iterator[ProcessPoolExecutor]:
    """A block with a new process that computes one thing at a time.

    A script that uses it needs `if __name__ == "__main__":`, as with every spawned process.

    Raises:
        AudioError: the process does not start, or dies.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
            yield process
    except BrokenProcessPool as error:
        raise AudioError(
            "the process that speaks did not start, or died",
            "a main script that can be imported, and a working espeakng-loader",
            'guard the script with `if __name__ == "__main__":`, or reinstall espeakng-loader',
        ) from error


def _speak_here(lines: Sequence[Line]) -> "list[npt.NDArray[np.int16]]":
    with _short_data_path() as data:
        voice = _EspeakVoice(data)
        return [voice.speak(line) for line in lines]


@contextmanager
def _short_data_path() -> Iterator[Path]:
    """Yields a link to the voices: the library cuts off a path of 160 characters, and a venv can lie deeper."""
    import espeakng_loader

    try:
        data = Path(espeakng_loader.get_data_path())
    except RuntimeError as error:
        raise _broken("espeak-ng's voices are missing") from error
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        link = Path(folder) / data.name
        link.symlink_to(data, target_is_directory=True)
        yield link


class _EspeakVoice:
    """The library with its Korean voice; a process can start it once."""

    def __init__(self, data: Path) -> None:
        import espeakng_loader

        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise _broken("espeak-ng cannot be loaded") from error
        rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data).encode(), _INITIALIZE_DONT_EXIT)
        if rate != SAMPLE_RATE_HZ:
            raise _broken(f"espeak-ng does not start (it answers {rate} Hz)")
        if self._library.espeak_SetVoiceByName(VOICE.encode()) != 0:
            raise _broken(f"espeak-ng has no voice {VOICE!r}")
        self._chunks: list[bytes] = []
        # The library keeps only the address, so this object must hold the function.
        self._callback = _SYNTH_CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, line: Line) -> "npt.NDArray[np.int16]":
        """The samples of one line."""
        parameters = {_RATE: line.rate_wpm, _VOLUME: line.volume, _PITCH: line.pitch, _RANGE: line.pitch_range}
        for parameter, value in parameters.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        text = line.text.encode()
        if self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _CHARS_UTF8, None, None) != 0:
            raise _broken("espeak-ng refuses a line")
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _SILENCE)
        if loud.size == 0:
            raise AudioError("a line of the demo makes no sound", "a line with letters", "give it a word to speak")
        return samples[loud[0] : loud[-1] + 1]

    def _receive(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, count * 2))
        return 0


def _broken(received: str) -> AudioError:
    return AudioError(received, "the library and the Korean voice of espeakng-loader", "reinstall espeakng-loader")
