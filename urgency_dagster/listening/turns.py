"""What is heard in a recording: turns with their text and speaker, and the vector of each turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Listening = Literal["label", "ctc", "whisper", "http", "none"]
"""Where the text of the turns comes from: given with the recording, a recogniser, or nowhere."""


@dataclass(frozen=True)
class Turn:
    """One utterance of a recording.

    Attributes:
        start_ms: start in milliseconds from the start of the recording.
        end_ms: end in milliseconds.
        text: what is said; None if it is not known.
        speaker: who speaks, as a label or the speaker model names it; None if it is not known.
    """

    start_ms: int
    end_ms: int
    text: str | None = None
    speaker: str | None = None


class TurnAudio(NamedTuple):
    """A turn with its audio.

    Attributes:
        turn: the turn.
        waveform: its samples, mono float32 at 16 kHz.
    """

    turn: Turn
    waveform: "NDArray[np.float32]"


@dataclass(frozen=True)
class Character:
    """One recognised character.

    Attributes:
        text: the character.
        start_ms: start in milliseconds.
        end_ms: end in milliseconds. Recognisers by CTC notice a character for a part of its sound only.
    """

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class HeardTurns:
    """Some turns of a recording with their vectors.

    Attributes:
        turns: the N turns.
        vectors: audio vectors, float32 of shape (N, T, D).
        characters: see `HeardCall.characters`.
    """

    turns: Sequence[Turn]
    vectors: "NDArray[np.float32]"
    characters: Sequence[tuple[Character, ...]]


@dataclass(frozen=True)
class HeardCall:
    """The turns of one recording with their vectors.

    Attributes:
        turns: the N turns that have a vector, in the order of time.
        vectors: audio vectors, float32 of shape (N, T, D).
        listening: where the text comes from.
        duration_ms: length of the recording in milliseconds.
        rejected: turns without a vector, each with the reason.
        characters: for each turn its recognised characters, with times from the start of the recording; empty for a
            turn whose text was given, and if the recogniser has no times.
    """

    turns: tuple[Turn, ...]
    vectors: "NDArray[np.float32]"
    listening: Listening
    duration_ms: int
    rejected: tuple[tuple[Turn, str], ...] = ()
    characters: tuple[tuple[Character, ...], ...] = ()
