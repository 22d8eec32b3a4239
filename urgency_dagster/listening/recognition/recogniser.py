"""What every recogniser takes and returns, and a recogniser that is loaded with the first turn that needs it."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from urgency_dagster import calls
from urgency_dagster.listening.turns import Character, Listening

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """The audio of one turn.

    Attributes:
        waveform: mono float32 at 16 kHz, shape (samples,).
        tokens: what the CTC head of the speech model says of each frame; None unless the recogniser needs it.
    """

    waveform: "NDArray[np.float32]"
    tokens: "calls.FrameTokens | None" = None


@dataclass(frozen=True)
class Transcript:
    """The text of one segment.

    Attributes:
        text: the text in NFC; empty if nothing was understood.
        characters: its characters, with times from the start of the segment; empty if the recogniser has no times.
    """

    text: str
    characters: tuple[Character, ...] = ()


class Recogniser(Protocol):
    """Anything that turns segments into text."""

    @property
    def listening(self) -> Listening:
        """The kind of recogniser, as results name it."""

    @property
    def needs_tokens(self) -> bool:
        """Whether it reads `Segment.tokens`. The speech model then needs a CTC head."""

    def transcripts(self, segments: Sequence[Segment]) -> Sequence[Transcript]:
        """One transcript per segment, in order.

        Raises:
            RecognitionError: no text can be had for this call.
        """


class LazyRecogniser:
    """A recogniser that is loaded at its first use. Recordings whose turns all have text need none.

    Args:
        listening: see `Recogniser`.
        needs_tokens: see `Recogniser`.
        load: loads the recogniser. It raises ModelError if it cannot.
    """

    def __init__(self, listening: Listening, load: "Callable[[], Recogniser]", *, needs_tokens: bool = False) -> None:
        self.listening, self.needs_tokens = listening, needs_tokens
        self._load, self._lock = load, Lock()
        self._loaded: Recogniser | None = None

    def load(self) -> Recogniser:
        """The recogniser, loaded once.

        Raises:
            ModelError: it cannot be loaded.
        """
        with self._lock:
            self._loaded = self._loaded or self._load()
        return self._loaded

    def transcripts(self, segments: Sequence[Segment]) -> Sequence[Transcript]:
        """See `Recogniser.transcripts`."""
        return self.load().transcripts(segments)


def composed(text: str) -> str:
    """The text as tokenizers know it: composed Hangul (NFC), and single spaces between words.

    Half of a surrogate pair, which JSON can hold and UTF-8 cannot, becomes a question mark.
    """
    characters = text.encode("utf-8", "replace").decode()
    return " ".join(unicodedata.normalize("NFC", characters).split())
