"""The listener: a recording and its turns become a heard call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from urgency_dagster import calls
from urgency_dagster.devices import AUTO
from urgency_dagster.errors import InputError, Rejected
from urgency_dagster.listening.recognition.choice import load_recogniser
from urgency_dagster.listening.recognition.recogniser import Recogniser, Segment, Transcript
from urgency_dagster.listening.turns import Character, HeardCall, Listening, Turn
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
        recogniser: makes the text of turns without one; None if they stay without.
    """

    encoder: calls.SegmentEncoder
    recogniser: Recogniser | None = None

    def listen(self, waveform: "NDArray[np.float32]", turns: Sequence[Turn]) -> HeardCall:
        """The vectors of the turns of one recording by the rules of the pipeline, and the text of those without one.

        Args:
            waveform: mono float32 at 16 kHz, shape (samples,); see `calls.load_waveform`.
            turns: the turns, in any order. A text that is given is kept.

        Raises:
            InputError: the waveform has another shape or dtype.
            ModelError: the device has no memory for one turn.
            RecognitionError: the recogniser gives no text of this call. Other calls can go on.
        """
        _check_waveform(waveform)
        duration_ms = len(waveform) * 1000 // calls.SAMPLE_RATE
        kept, rejected = _by_rule(turns, duration_ms)
        heard = [self._heard(waveform, some) for some in _slices(kept, TURNS_AT_ONCE)]
        return HeardCall(
            turns=tuple(turn for part in heard for turn in part.turns),
            vectors=self._joined([part.vectors for part in heard]),
            listening=self._listening(kept),
            duration_ms=duration_ms,
            rejected=rejected,
            characters=tuple(characters for part in heard for characters in part.characters),
        )

    def _heard(self, waveform: "NDArray[np.float32]", turns: Sequence[Turn]) -> "_HeardTurns":
        segments = [calls.cut(waveform, turn.start_ms, turn.end_ms) for turn in turns]
        if self.recogniser is None or not _without_text(turns):
            return _HeardTurns(turns, self.encoder.embed(segments), [()] * len(turns))
        if self.recogniser.needs_tokens:
            vectors, tokens = self.encoder.embed_with_tokens(segments)
            parts = [Segment(*of_turn) for of_turn in zip(segments, tokens, strict=True)]
        else:
            vectors, parts = self.encoder.embed(segments), [Segment(segment) for segment in segments]
        missing = _without_text(turns)
        recognised = self.recogniser.transcripts([parts[position] for position in missing])
        transcripts = dict(zip(missing, recognised, strict=True))
        return _HeardTurns(
            [_with_text(turn, transcripts.get(position)) for position, turn in enumerate(turns)],
            vectors,
            [_on_the_call(turn, transcripts.get(position)) for position, turn in enumerate(turns)],
        )

    def _joined(self, vectors: "Sequence[NDArray[np.float32]]") -> "NDArray[np.float32]":
        import numpy as np

        return np.concatenate(vectors or [self.encoder.embed([])])

    def _listening(self, turns: Sequence[Turn]) -> Listening:
        if not _without_text(turns):
            return "label"
        return self.recogniser.listening if self.recogniser else "none"


@dataclass(frozen=True)
class _HeardTurns:
    """Some turns with their text, vectors and characters."""

    turns: Sequence[Turn]
    vectors: "NDArray[np.float32]"
    characters: Sequence[tuple[Character, ...]]


def _without_text(turns: Sequence[Turn]) -> list[int]:
    """The positions of turns that need a recogniser."""
    return [position for position, turn in enumerate(turns) if turn.text is None]


def _with_text(turn: Turn, transcript: Transcript | None) -> Turn:
    return replace(turn, text=transcript.text) if transcript else turn


def _on_the_call(turn: Turn, transcript: Transcript | None) -> tuple[Character, ...]:
    """The characters of a turn, with times from the start of the recording."""
    return tuple(
        Character(character.text, turn.start_ms + character.start_ms, turn.start_ms + character.end_ms)
        for character in (transcript.characters if transcript else ())
    )


def load_listener(
    source: PretrainedModel,
    *,
    audio_tokens: int = 1,
    device: str = AUTO,
    recogniser: str | Recogniser = NO_RECOGNISER,
) -> Listener:
    """Loads a speech model that listens to recordings.

    Args:
        source: the speech model. An urgency model expects vectors of the one that it was trained with.
        audio_tokens: vectors per turn, T.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        recogniser: `ctc`, `whisper:<hub id or folder>`, `http:<url>`, `none`, or your own.

    Raises:
        ModelError: the speech model cannot be used, it has no CTC head for `ctc`, or the Whisper model cannot be used.
        SettingsError: the recogniser is unknown, this machine has no such device, or the shortest turn has fewer
            frames than `audio_tokens`.
    """
    config = calls.EmbeddingConfig(
        audio_tokens=audio_tokens, device=device, engine="torch", precision="float32", padding="never"
    )
    if not isinstance(recogniser, str):
        return Listener(calls.load_segment_encoder(source, config, ctc_head=recogniser.needs_tokens), recogniser)
    encoder = calls.load_segment_encoder(source, config, ctc_head=recogniser == "ctc")
    return Listener(encoder, load_recogniser(recogniser, encoder.speech, device))


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
