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

WINDOWS_AT_ONCE = 32
"""Windows that the network judges together, about 1 s. It is fixed, because the last digit depends on it.

Measured on 217 s of demo calls, processor time for 256, 64, 32, 16 and 8 windows: 0.18, 0.21, 0.28, 0.43 and 0.70 s. A
call in progress judges an open block again as it fills, which is cheaper the shorter the block is.
"""

BLOCK_SAMPLES = WINDOWS_AT_ONCE * WINDOW_SAMPLES


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
    activity = VoiceActivity()
    for block in blocks:
        yield from activity.add(block)
    yield from activity.finish()


class VoiceActivity:
    """The windows of a recording that arrives in pieces. They do not depend on the pieces.

    The network always judges WINDOWS_AT_ONCE windows. Silence stands for those that have not arrived, and the block is
    judged again when they have. The windows before do not depend on it.

    An iterator that a method returns has to be read to its end before the next call.
    """

    def __init__(self) -> None:
        import numpy as np

        self._network = _silero_vad()
        self._state: tuple[Tensor, Tensor] | None = None
        self._context, self._block = np.zeros(CONTEXT_SAMPLES, np.float32), np.empty(0, np.float32)
        self._yielded = 0

    @property
    def unjudged(self) -> int:
        """Number of complete windows that were not yielded yet."""
        return len(self._block) // WINDOW_SAMPLES - self._yielded

    def add(self, samples: "NDArray[np.float32]") -> Iterator[Window]:
        """Takes the next samples, and yields the windows of the blocks that they complete.

        Args:
            samples: mono float32 at 16 kHz.
        """
        import numpy as np

        for start in range(0, len(samples), BLOCK_SAMPLES):
            self._block = np.concatenate([self._block, samples[start : start + BLOCK_SAMPLES]])
            if len(self._block) >= BLOCK_SAMPLES:
                yield from self._complete_block()

    def arrived(self) -> Iterator[Window]:
        """Yields the complete windows that were not yielded yet."""
        if self.unjudged:
            yield from self._new_windows(len(self._block) // WINDOW_SAMPLES)

    def finish(self) -> Iterator[Window]:
        """Yields the windows that were not yielded yet. Silence completes the last one."""
        count = -(-len(self._block) // WINDOW_SAMPLES)
        if count > self._yielded:
            yield from self._new_windows(count)

    def _complete_block(self) -> Iterator[Window]:
        block, self._block = self._block[:BLOCK_SAMPLES], self._block[BLOCK_SAMPLES:]
        windows, self._state = self._judged(block)
        self._context = block[-CONTEXT_SAMPLES:]
        yielded, self._yielded = self._yielded, 0
        yield from windows[yielded:]

    def _new_windows(self, count: int) -> Iterator[Window]:
        """Yields the windows of the open block that were not yielded yet, up to a number of them."""
        import numpy as np

        windows, _ = self._judged(np.pad(self._block, (0, BLOCK_SAMPLES - len(self._block))))
        yielded, self._yielded = self._yielded, count
        yield from windows[yielded:count]

    def _judged(self, block: "NDArray[np.float32]") -> "tuple[list[Window], tuple[Tensor, Tensor]]":
        """The windows of a whole block, and the state after it."""
        import numpy as np

        probabilities, state = self._network.probabilities(np.concatenate([self._context, block]), self._state)
        levels = np.sqrt(np.square(block.reshape(-1, WINDOW_SAMPLES)).mean(axis=1)).tolist()
        return list(map(Window, probabilities, levels)), state


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
