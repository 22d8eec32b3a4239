"""The recording of a request, as `audio/*` or in a form, and its turns."""

import asyncio
import json
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from urgency_dagster.calls import MAX_LABEL_BYTES, printable, stated_length_s
from urgency_dagster.errors import AudioError
from urgency_dagster.listening import Turn
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.problems import (
    INVALID_REQUEST,
    UNREADABLE_BODY,
    UNSUPPORTED_MEDIA,
    UNUSABLE_AUDIO,
    Fault,
    Problem,
    of_validation,
)
from urgency_dagster.serving.schemas.calls import TurnInput
from urgency_dagster.serving.schemas.examples import TURN

if TYPE_CHECKING:
    from urgency_dagster.calls import Audio

IN_MEMORY_BYTES = 1 << 20
"""A larger recording is stored in a file without a name, which is gone when the request ends, however it ends."""

TURNS = TypeAdapter(list[TurnInput])

RECORDING = {
    "type": "string",
    "contentMediaType": "audio/*",
    "description": "WAV, FLAC, MP3, Ogg, AIFF, AU, W64 or CAF.",
}

CALL_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "title": "RecordingWithTurns",
                "type": "object",
                "properties": {
                    "audio": RECORDING,
                    "turns": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"$ref": "#/components/schemas/TurnInput"},
                        "description": "The utterances in any order. Without them, the server finds them.",
                        "examples": [[TURN]],
                    },
                },
                "required": ["audio"],
                "additionalProperties": False,
            },
            "encoding": {"turns": {"contentType": "application/json"}},
        },
        "audio/*": {"schema": RECORDING},
    },
}
"""The bodies of `POST /v1/calls` for the OpenAPI document."""


class SentCall(NamedTuple):
    """What a request holds.

    Attributes:
        name: name of the file; empty without one.
        audio: the recording.
        turns: its turns; None to find them.
    """

    name: str
    audio: "Audio"
    turns: tuple[Turn, ...] | None


async def receive_call(request: Request, limits: Limits, opened: AsyncExitStack) -> SentCall:
    """Receives the recording of a request.

    Args:
        request: the request.
        limits: the bounds of its turns.
        opened: keeps a large recording in a file, until it ends.

    Raises:
        Problem: the body is of another type, is empty, or is no form with these parts.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("audio/"):
        return SentCall("", await _streamed(request, opened), None)
    if kind != "multipart/form-data":
        received = Fault("neither `audio/*` nor `multipart/form-data`", parameter="Content-Type")
        raise Problem(UNSUPPORTED_MEDIA, "Send the recording as `audio/*` or `multipart/form-data`.", [received])
    form = await opened.enter_async_context(request.form(max_files=2, max_fields=2, max_part_size=MAX_LABEL_BYTES))
    audio = _audio_part(form)
    turns = form.get("turns")
    content = await turns.read(MAX_LABEL_BYTES + 1) if isinstance(turns, UploadFile) else turns
    return SentCall(printable(audio.filename or ""), _audio_of(audio.file, audio.size or 0), _turns(content, limits))


async def check_length(audio: "Audio", limits: Limits) -> None:
    """Refuses a recording whose header states that it is too long. Hearing it ends at a bound of its own.

    Raises:
        AudioError: it is too long, or cannot be read.
    """
    length_s = await asyncio.to_thread(stated_length_s, audio)
    if length_s > limits.audio_s:
        raise AudioError(f"longer than {limits.audio_s} s", "a recording of a call", "send it in parts")


def _audio_part(form: FormData) -> UploadFile:
    """The part with the recording.

    Raises:
        Problem: it is missing, a part occurs twice, or there are others.
    """
    names = [name for name, _ in form.multi_items()]
    audio = form.get("audio")
    if not isinstance(audio, UploadFile):
        raise Problem(INVALID_REQUEST, "The part `audio` is a file.", [Fault("is missing, or no file", "#/audio")])
    if len(names) > len(set(names)) or set(names) - {"audio", "turns"}:
        raise Problem(INVALID_REQUEST, "The parts are `audio` and `turns`, once each.", [Fault("other parts", "#")])
    return audio


async def _streamed(request: Request, opened: AsyncExitStack) -> "Audio":
    """The body, which is the recording."""
    file = opened.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES))  # noqa: SIM115 - closed with `opened`
    async for chunk in request.stream():
        file.write(chunk)
    return _audio_of(file, file.tell())


def _audio_of(file: "IO[bytes]", size: int) -> "Audio":
    """The recording in an open file: its bytes, or the path of the file if it is large."""
    if not size:
        raise Problem(UNUSABLE_AUDIO, "There is no recording.", [Fault("is empty", "#/audio")])
    file.seek(0)
    if size <= IN_MEMORY_BYTES:
        return file.read()
    file.flush()
    return Path(f"/dev/fd/{file.fileno()}")


def _turns(content: bytes | str | None, limits: Limits) -> tuple[Turn, ...] | None:
    if content is None:
        return None
    try:
        turns = TURNS.validate_python(json.loads(content))
    except ValidationError as error:
        raise of_validation(error, "#/turns") from error
    except (ValueError, RecursionError) as error:
        raise Problem(UNREADABLE_BODY, "The part `turns` is not JSON.", [Fault("is not JSON", "#/turns")]) from error
    if not 0 < len(turns) <= limits.utterances:
        detail = f"A recording has 1 to {limits.utterances} turns."
        raise Problem(INVALID_REQUEST, detail, [Fault(f"has not 1 to {limits.utterances} entries", "#/turns")])
    return tuple(Turn(turn.start_ms, turn.end_ms, turn.text, turn.speaker) for turn in turns)
