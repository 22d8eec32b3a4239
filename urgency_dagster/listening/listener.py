"""The listener: a recording and its turns become a heard call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urgency_dagster import calls
from urgency_dagster.devices import AUTO
from urgency_dagster.errors import InputError, Rejected, SettingsError
from urgency_dagster.listening.turns import HeardCall, Listening, Turn
from urgency_dagster.pretrained import PretrainedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_RECOGNISER = "none"

TURNS_AT_ONCE = 64
"""Turns that are cut out and embedded together. It bounds the memory of a long call."""


@dataclass(frozen=True)
class Listener:
    """A speech model that is ready to listen to recordings.

    Attributes:
        encoder: makes the vectors.
    """

    encoder: calls.SegmentEncoder

    def listen(self, waveform: "NDArray[np.float32]", turns: Sequence[Turn]) -> HeardCall:
        """The vectors of the turns of one recording, by the rules of the pipeline.

        Args:
            waveform: mono float32 at 16 kHz, shape (samples,); see `calls.load_waveform`.
            turns: the turns, in any order.

        Raises:
            InputError: the waveform has another shape or dtype.
            ModelError: the device has no memory for one turn.
        """
        _check_waveform(waveform)
        duration_ms = len(waveform) * 1000 // calls.SAMPLE_RATE
        kept, rejected = _by_rule(turns, duration_ms)
        vectors = self._vectors(waveform, kept)
        return HeardCall(kept, vectors, _listening(kept), duration_ms, rejected)

    def _vectors(self, waveform: "NDArray[np.float32]", turns: Sequence[Turn]) -> "NDArray[np.float32]":
        import numpy as np

        parts = [self.encoder.embed([])]  # its shape is that of no turn
        for some in _slices(turns, TURNS_AT_ONCE):
            parts.append(self.encoder.embed([calls.cut(waveform, turn.start_ms, turn.end_ms) for turn in some]))
        return np.concatenate(parts)


def load_listener(
    source: PretrainedModel, *, audio_tokens: int = 1, device: str = AUTO, recogniser: str = NO_RECOGNISER
) -> Listener:
    """Loads a speech model that listens to recordings.

    Args:
        source: the speech model. An urgency model expects vectors of the one that it was trained with.
        audio_tokens: vectors per turn, T.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        recogniser: `none`.

    Raises:
        ModelError: the speech model cannot be used.
        SettingsError: the device or the recogniser is not available here, or the shortest turn has fewer frames than
            `audio_tokens`.
    """
    if recogniser != NO_RECOGNISER:
        raise SettingsError(f"the recogniser {recogniser!r}", NO_RECOGNISER, "correct it")
    config = calls.EmbeddingConfig(
        audio_tokens=audio_tokens, device=device, engine="torch", precision="float32", padding="never"
    )
    return Listener(calls.load_segment_encoder(source, config))


def _check_waveform(waveform: "NDArray[np.float32]") -> None:
    if str(getattr(waveform, "dtype", "")) != "float32" or waveform.ndim != 1:
        kind = f"{waveform.dtype} of shape {waveform.shape}" if hasattr(waveform, "dtype") else type(waveform).__name__
        raise InputError(f"a waveform of {kind}", "float32 of shape (samples,)", "load it with `calls.load_waveform`")


def _by_rule(turns: Sequence[Turn], duration_ms: int) -> tuple[tuple[Turn, ...], tuple[tuple[Turn, str], ...]]:
    """The turns that are kept, in the order of time; and the others, each with its reason."""
    kept, rejected = [], []
    for turn in turns:
        try:
            calls.kept_interval(turn.start_ms, turn.end_ms, duration_ms)
        except Rejected as error:
            rejected.append((turn, str(error.reason)))
        else:
            kept.append(turn)
    return tuple(sorted(kept, key=lambda turn: turn.start_ms)), tuple(rejected)


def _slices(turns: Sequence[Turn], size: int) -> Iterator[Sequence[Turn]]:
    return (turns[start : start + size] for start in range(0, len(turns), size))


def _listening(turns: Sequence[Turn]) -> Listening:
    return "label" if all(turn.text is not None for turn in turns) else "none"
