"""Where speech is: the speech probability and the level of each window of 32 ms, from silero-vad.

The weights are in the wheel of silero-vad, so nothing is downloaded.
"""

import copy
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from urgency_dagster import calls

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_SAMPLES = 512
"""Samples of a window at 16 kHz. Source: the only number that silero-vad accepts."""

WINDOW_MS = 32
"""Length of a window in ms."""

WINDOWS_AT_ONCE = 256
"""Windows that are judged before the next audio is read, about 8 s."""


class Window(NamedTuple):
    """One window of a recording.

    Attributes:
        probability: probability of speech, 0 to 1.
        level: root mean square of its samples, where full scale is 1.
    """

    probability: float
    level: float


def speech_windows(blocks: "Iterable[NDArray[np.float32]]") -> Iterator[Window]:
    """Yields the windows of a recording in the order of time. Silence completes the last one.

    Args:
        blocks: the recording in consecutive blocks of any length, mono float32 at 16 kHz.
    """
    model = copy.deepcopy(_silero_vad())  # it keeps a state from one window to the next
    for windows in _whole_windows(blocks):
        yield from _judged(model, windows)


def _judged(model: Any, windows: "NDArray[np.float32]") -> list[Window]:
    import numpy as np
    import torch

    levels = np.sqrt(np.square(windows).mean(axis=1))
    with torch.inference_mode():
        probabilities = [model(window, calls.SAMPLE_RATE) for window in torch.from_numpy(windows)]
        judged: list[float] = torch.cat(probabilities).flatten().tolist()
    return [Window(*values) for values in zip(judged, levels.tolist(), strict=True)]


def _whole_windows(blocks: "Iterable[NDArray[np.float32]]") -> "Iterator[NDArray[np.float32]]":
    """Yields the samples of consecutive windows, of shape (windows, WINDOW_SAMPLES)."""
    import numpy as np

    remainder, at_once = np.empty(0, np.float32), WINDOWS_AT_ONCE * WINDOW_SAMPLES
    for block in blocks:
        for start in range(0, len(block), at_once):
            samples = np.concatenate([remainder, block[start : start + at_once]])
            whole = len(samples) // WINDOW_SAMPLES * WINDOW_SAMPLES
            if whole:
                yield samples[:whole].reshape(-1, WINDOW_SAMPLES)
            remainder = samples[whole:]
    if len(remainder):
        yield np.pad(remainder, (0, WINDOW_SAMPLES - len(remainder)))[None]


@cache
def _silero_vad() -> Any:
    """The model of silero-vad in its initial state, on the CPU."""
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # the import above sets it to 1, for the whole process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.load
        return load_silero_vad()
