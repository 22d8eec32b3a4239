"""Where speech is: the speech probability and the level of each window of 32 ms, from silero-vad.

The weights are in the wheel of silero-vad, so nothing is downloaded. Its own reader calls the model for each window.
Here only the recurrent layer goes from window to window, which takes a fifteenth of the time.
"""

import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import LSTM

WINDOW_SAMPLES = 512
"""Samples of a window at 16 kHz. Source: the only number that silero-vad accepts."""

WINDOW_MS = 32
"""Length of a window in ms."""

CONTEXT_SAMPLES = 64
"""Samples before a window that the model reads too. Source: `context_size_samples` of silero-vad."""

WINDOWS_AT_ONCE = 256
"""Windows that are judged together, about 8 s. It is fixed, because the last digit depends on it."""


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
    import numpy as np

    network, state = _silero_vad(), None
    context = np.zeros(CONTEXT_SAMPLES, np.float32)
    for samples in _chunks(blocks):
        probabilities, state = network.probabilities(np.concatenate([context, samples]), state)
        levels = np.sqrt(np.square(samples.reshape(-1, WINDOW_SAMPLES)).mean(axis=1)).tolist()
        context = samples[-CONTEXT_SAMPLES:]
        yield from map(Window, probabilities, levels)


def _chunks(blocks: "Iterable[NDArray[np.float32]]") -> "Iterator[NDArray[np.float32]]":
    """Yields the samples of WINDOWS_AT_ONCE windows, and in the end those of the windows that remain."""
    import numpy as np

    remainder, at_once = np.empty(0, np.float32), WINDOWS_AT_ONCE * WINDOW_SAMPLES
    for block in blocks:
        for start in range(0, len(block), at_once):
            remainder = np.concatenate([remainder, block[start : start + at_once]])
            if len(remainder) >= at_once:
                yield remainder[:at_once]
                remainder = remainder[at_once:]
    if len(remainder):
        yield np.pad(remainder, (0, -len(remainder) % WINDOW_SAMPLES))


class _Network(NamedTuple):
    """The layers of silero-vad at 16 kHz.

    Attributes:
        spectrum: from windows with their contexts to their spectra.
        encoder: from spectra to features.
        recurrent: from features and a state to features and the next state.
        output: from features to probabilities.
    """

    spectrum: Any
    encoder: Any
    recurrent: "LSTM"
    output: Any

    def probabilities(
        self, samples: "NDArray[np.float32]", state: "tuple[Tensor, Tensor] | None"
    ) -> "tuple[list[float], tuple[Tensor, Tensor]]":
        """The speech probability of each window, and the state after the last one.

        Args:
            samples: the windows, with the context of the first one before them.
            state: the state before the first window; None at the start of a recording.
        """
        import torch

        with torch.inference_mode():
            windows = torch.from_numpy(samples).unfold(0, CONTEXT_SAMPLES + WINDOW_SAMPLES, WINDOW_SAMPLES)
            features = self.encoder(self.spectrum(windows)).squeeze(-1)
            features, state = self.recurrent(features, state)
            probabilities: list[float] = self.output(features[..., None]).flatten().tolist()
        return probabilities, state


@cache
def _silero_vad() -> _Network:
    """The layers of silero-vad on the CPU. They keep no state."""
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # the import above sets it to 1, for the whole process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.load
        network = load_silero_vad()._model
    cell = network.decoder.rnn.state_dict()
    recurrent = torch.nn.LSTM(cell["weight_ih"].shape[1], cell["weight_hh"].shape[1])
    recurrent.load_state_dict({f"{name}_l0": weights for name, weights in cell.items()})
    return _Network(network.stft, network.encoder, recurrent, network.decoder.decoder)
