"""The listener: a recording and its turns become a heard call."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from urgency_dagster import calls
from urgency_dagster.devices import AUTO
from urgency_dagster.errors import InputError, ModelError, NoRecogniserError
from urgency_dagster.listening.audio_buffer import AudioBuffer
from urgency_dagster.listening.cutting import cut_at_pauses
from urgency_dagster.listening.given_turns import cut_turns, turn_reject
from urgency_dagster.listening.recognition.choice import load_recogniser
from urgency_dagster.listening.recognition.recogniser import LazyRecogniser, Recogniser, Segment, Transcript
from urgency_dagster.listening.speaker import SpeakerModel
from urgency_dagster.listening.turns import Character, HeardCall, HeardTurns, Listening, Turn, TurnAudio
from urgency_dagster.pretrained import PretrainedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_RECOGNISER = "none"

TURNS_AT_ONCE, AUDIO_AT_ONCE_MS = 64, 120_000
"""Bounds of the turns that are cut out and embedded together, so that the memory does not grow with the recording."""

Waveform: TypeAlias = "NDArray[np.float32] | Iterable[NDArray[np.float32]]"
"""A recording, mono float32 at 16 kHz: an array of shape (samples,), or consecutive blocks of it of any length."""


@dataclass(frozen=True)
class Listener:
    """A speech model that is ready to listen to recordings.

    Attributes:
        encoder: makes the vectors.
        recogniser: makes the text of turns without one; None if they stay without.
        speaker_model: says who speaks in turns that do not name it; None if they stay without.
    """

    encoder: calls.SegmentEncoder
    recogniser: Recogniser | None = None
    speaker_model: SpeakerModel | None = None

    def load_recogniser(self) -> None:
        """Loads the recogniser now. Otherwise the first turn without text loads it.

        Raises:
            NoRecogniserError: it cannot be loaded, or the speech model has no CTC head for it.
        """
        try:
            if self.recogniser and self.recogniser.needs_tokens:
                self.encoder.speech.check_head()
            if isinstance(self.recogniser, LazyRecogniser):
                self.recogniser.load()
        except ModelError as error:
            raise NoRecogniserError(*error.args) from error

    def listen(self, waveform: Waveform, turns: Sequence[Turn] | None = None) -> HeardCall:
        """The vectors of the turns of one recording by the rules of the pipeline, and the text and speaker they lack.

        Args:
            waveform: see `calls.load_waveform`; for a long recording `calls.waveform_blocks`, which are read once.
            turns: the turns, in any order. Their text and speaker are kept. None to cut the recording at pauses.

        Raises:
            AudioError: the blocks of the recording cannot be read.
            InputError: the waveform has another shape or dtype, or the speaker model is of another speech model.
            DeviceMemoryError: the device has no memory for one turn.
            NoRecogniserError: a turn has no text, and the recogniser cannot be loaded.
            RecognitionError: the recogniser gives no text of this call. Other calls can go on.
        """
        audio, blocks = AudioBuffer(), _checked_blocks(waveform)
        cuts = cut_at_pauses(audio, blocks) if turns is None else cut_turns(audio, blocks, turns)
        heard = list(self.hear(cuts))
        return HeardCall(
            turns=tuple(turn for part in heard for turn in part.turns),
            vectors=self._joined([part.vectors for part in heard]),
            listening=self._listening(turns, audio.duration_ms),
            duration_ms=audio.duration_ms,
            rejected=_rejected(turns or (), audio.duration_ms),
            characters=tuple(characters for part in heard for characters in part.characters),
        )

    def hear(self, cuts: Iterable[TurnAudio]) -> Iterator[HeardTurns]:
        """Yields the turns with their vectors, and the text and speaker they lack, some at a time.

        Args:
            cuts: turns with their audio.

        Raises:
            InputError, ModelError, RecognitionError: see `listen`.
        """
        yield from map(self._heard, _batches(cuts))

    def _heard(self, cuts: Sequence[TurnAudio]) -> HeardTurns:
        heard = self._recognised(cuts)
        if self.speaker_model is None:
            return heard
        named = zip(heard.turns, self.speaker_model.speakers(heard.vectors), strict=True)
        return replace(heard, turns=[replace(turn, speaker=turn.speaker or speaker) for turn, speaker in named])

    def _recognised(self, cuts: Sequence[TurnAudio]) -> HeardTurns:
        turns, segments = [cut.turn for cut in cuts], [cut.waveform for cut in cuts]
        if self.recogniser is None or not _without_text(turns):
            return HeardTurns(turns, self.encoder.embed(segments), [()] * len(turns))
        self.load_recogniser()
        if self.recogniser.needs_tokens:
            vectors, tokens = self.encoder.embed_with_tokens(segments)
            parts = [Segment(*of_turn) for of_turn in zip(segments, tokens, strict=True)]
        else:
            vectors, parts = self.encoder.embed(segments), [Segment(segment) for segment in segments]
        missing = _without_text(turns)
        recognised = self.recogniser.transcripts([parts[position] for position in missing])
        transcripts = dict(zip(missing, recognised, strict=True))
        return HeardTurns(
            [_with_text(turn, transcripts.get(position)) for position, turn in enumerate(turns)],
            vectors,
            [_on_the_call(turn, transcripts.get(position)) for position, turn in enumerate(turns)],
        )

    def _joined(self, vectors: "Sequence[NDArray[np.float32]]") -> "NDArray[np.float32]":
        import numpy as np

        return np.concatenate(vectors or [self.encoder.embed([])])

    def _listening(self, turns: Sequence[Turn] | None, duration_ms: int) -> Listening:
        if turns is not None and not _without_text([turn for turn in turns if not turn_reject(turn, duration_ms)]):
            return "label"
        return self.recogniser.listening if self.recogniser else "none"


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
    engine: Literal["auto", "torch", "openvino"] = "torch",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
    recogniser: str | Recogniser = NO_RECOGNISER,
    speaker_model: SpeakerModel | None = None,
) -> Listener:
    """Loads a speech model that listens to recordings.

    Args:
        source: the speech model. An urgency model expects vectors of the one that it was trained with.
        audio_tokens: vectors per turn, T.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        engine: `torch`, `openvino`, or `auto` for the faster one here.
        precision: of the arithmetic. With the engine and precision of an archive, its turns have the same vectors:
            within 1e-6 in float32, and within 1e-4 in bfloat16. Between the two precisions it is 1e-2.
        recogniser: `ctc`, `whisper:<hub id or folder>`, `http:<url>`, `none`, or your own. Its model is loaded with the
            first turn without text, see `Listener.load_recogniser`.
        speaker_model: the speaker model of the urgency model, see `load_speaker_model`.

    Raises:
        ModelError: the speech model cannot be used.
        SettingsError: the recogniser is unknown, this machine has no such device, engine or precision, or the shortest
            turn has fewer frames than `audio_tokens`.
    """
    config = calls.EmbeddingConfig(
        audio_tokens=audio_tokens, device=device, engine=engine, precision=precision, padding="never"
    )
    needs_tokens = recogniser == "ctc" if isinstance(recogniser, str) else recogniser.needs_tokens
    encoder = calls.load_segment_encoder(source, config, ctc_head=needs_tokens)
    if isinstance(recogniser, str):
        return Listener(encoder, load_recogniser(recogniser, encoder.speech, device), speaker_model)
    return Listener(encoder, recogniser, speaker_model)


def _checked_blocks(waveform: Waveform) -> "Iterator[NDArray[np.float32]]":
    """Yields the blocks of a recording.

    Raises:
        InputError: one has another shape or dtype.
    """
    import numpy as np

    blocks = [waveform] if isinstance(waveform, np.ndarray) or not isinstance(waveform, Iterable) else waveform
    for block in blocks:
        if not isinstance(block, np.ndarray) or block.dtype != np.float32 or block.ndim != 1:
            raise _no_waveform(block)
        yield block


def _no_waveform(value: Any) -> InputError:
    kind = f"{value.dtype} of shape {value.shape}" if hasattr(value, "dtype") else type(value).__name__
    return InputError(f"a waveform of {kind}", "float32 of shape (samples,)", "load it with `calls.load_waveform`")


def _batches(cuts: Iterable[TurnAudio]) -> Iterator[Sequence[TurnAudio]]:
    batch: list[TurnAudio] = []
    for cut in cuts:
        batch.append(cut)
        samples = sum(len(cut.waveform) for cut in batch)
        if len(batch) == TURNS_AT_ONCE or samples >= calls.sample_at(AUDIO_AT_ONCE_MS):
            yield batch
            batch = []
    if batch:
        yield batch


def _rejected(turns: Sequence[Turn], duration_ms: int) -> tuple[tuple[Turn, str], ...]:
    """The turns that are left out, each with its reason."""
    reasons = ((turn, turn_reject(turn, duration_ms)) for turn in turns)
    return tuple((turn, reason) for turn, reason in reasons if reason is not None)
