"""What a caller gives to a predictor, checked and in one form: recordings, turns, texts and vectors."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from urgency_dagster.calls import Audio, waveform_blocks
from urgency_dagster.errors import AudioError, InputError
from urgency_dagster.listening import Turn

if TYPE_CHECKING:
    from numpy.typing import NDArray

Turns: TypeAlias = Iterable[Turn | tuple[Any, ...]]
"""Turns of a recording: each a `Turn` or (start_ms, end_ms, text) or (start_ms, end_ms, text, speaker)."""

TURN_LENGTHS = (3, 4)
PAIR = 2


def blocks_of(audio: "Audio") -> "Iterator[NDArray[np.float32]]":
    """The blocks of a recording, see `calls.waveform_blocks`. A file is read as they are taken, and can fail then.

    A file with NaN is repaired as in the pipeline. Samples in memory with NaN are refused: they are a fault of the
    caller.

    Raises:
        AudioError: there is no such file, or the samples cannot be used.
        InputError: it is none of the kinds of `calls.Audio`.
    """
    if isinstance(audio, str | Path):
        path = Path(audio).expanduser()
        if not path.is_file():
            raise AudioError(f"there is no file {path.name}", "the path of a recording", "correct the path")
        return waveform_blocks(path)
    if not isinstance(audio, bytes) and not (isinstance(audio, tuple) and len(audio) == PAIR):
        received = f"audio of type {type(audio).__name__}"
        raise InputError(received, "a path, bytes, or (waveform, sample_rate)", "pass one of these")
    if isinstance(audio, tuple):
        _check_finite(audio[0])
    return waveform_blocks(audio)


def _check_finite(samples: Any) -> None:
    if isinstance(samples, np.ndarray) and samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise AudioError("samples with NaN or infinite values", "finite numbers", "repair the recording")


def checked_turns(turns: Turns | None) -> tuple[Turn, ...] | None:
    """The turns as `Turn`, in their order; None stays None. Whether their times can be used is the listener's concern.

    Raises:
        InputError: there are none, or one is no turn.
    """
    if turns is None:
        return None
    if isinstance(turns, str | bytes | Turn) or not isinstance(turns, Iterable):
        raise InputError(f"turns of type {type(turns).__name__}", "a list of turns", "pass a list, or None")
    checked = tuple(_turn(position, turn) for position, turn in enumerate(turns))
    if not checked:
        raise InputError("an empty list of turns", "at least one turn", "pass None to find the turns")
    return checked


def _turn(position: int, given: Turn | tuple[Any, ...]) -> Turn:
    if not isinstance(given, Turn) and (not isinstance(given, Sequence) or len(given) not in TURN_LENGTHS):
        raise _no_turn(position, f"is a {type(given).__name__}", "(start_ms, end_ms, text) or with a speaker")
    turn = given if isinstance(given, Turn) else Turn(*given)
    for name, value in (("start_ms", turn.start_ms), ("end_ms", turn.end_ms)):
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise _no_turn(position, f"has a {name} of type {type(value).__name__}", "whole milliseconds")
    for name, text in (("text", turn.text), ("speaker", turn.speaker)):
        if not isinstance(text, str | None):
            raise _no_turn(position, f"has a {name} of type {type(text).__name__}", "a string or None")
    return Turn(int(turn.start_ms), int(turn.end_ms), turn.text, turn.speaker)


def _no_turn(position: int, received: str, expected: str) -> InputError:
    return InputError(f"turn {position} {received}", expected, "correct the turn")


def check_texts(texts: Sequence[str]) -> None:
    """Checks the texts of utterances.

    Raises:
        InputError: they are no list, there are none, one is no string, or one holds half of a surrogate pair.
    """
    if isinstance(texts, str) or not len(texts):
        raise InputError("no list of texts" if len(texts) else "no utterance", "at least one text", "pass a list")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {position} is a {type(text).__name__}", "a string", "pass the transcript")
        if not _is_unicode(text):
            raise InputError(f"text {position} holds half of a surrogate pair", "Unicode text", "correct its encoding")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8. JSON can hold half of a surrogate pair, which no text encoding can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_calls(calls: Sequence[Hashable] | None, count: int) -> None:
    """Checks the calls of utterances.

    Raises:
        InputError: there are not as many calls as utterances.
    """
    if calls is not None and len(calls) != count:
        raise InputError(f"{count} texts and {len(calls)} calls", "one call per text", "pass as many of both")


def check_vectors(vectors: "NDArray[np.float32]", count: int, tokens: int, width: int) -> None:
    """Checks the vectors of utterances.

    Raises:
        InputError: they are no float32 array of shape (count, tokens, width), or (count, width) for one token, or a
            value is not finite.
    """
    shapes = [(count, tokens, width), *([(count, width)] if tokens == 1 else [])]
    expected = f"float32 of shape {shapes[-1]}"
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        kind = vectors.dtype if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise InputError(f"vectors of type {kind}", expected, "convert them with `numpy.asarray(vectors, 'float32')`")
    if vectors.shape not in shapes:
        raise InputError(f"vectors of shape {vectors.shape}", expected, "make them with the model's speech model")
    if not np.isfinite(vectors).all():
        raise InputError("vectors with NaN or infinite values", "finite numbers", "embed these utterances again")
