"""`POST /v1/calls`: urgency and sentiment of a recording."""

import json
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile

from urgency_dagster.calls import MAX_LABEL_BYTES, printable
from urgency_dagster.listening import Turn
from urgency_dagster.scoring import PredictedRecording, call_object
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.problems import (
    INVALID_REQUEST,
    UNREADABLE_BODY,
    UNSUPPORTED_MEDIA,
    Fault,
    Problem,
    at_field,
    of_validation,
)
from urgency_dagster.serving.routes.answers import described, json_answer, urgency_model
from urgency_dagster.serving.routes.lending import Models, ServerLimits
from urgency_dagster.serving.schemas.calls import CallAnswer, TurnInput

if TYPE_CHECKING:
    from urgency_dagster.calls import Audio
    from urgency_dagster.urgency import RecordingPrediction

router = APIRouter(prefix="/v1", tags=["calls"])

IN_MEMORY_BYTES = 1 << 20
"""A larger recording is stored in a file without a name, which is gone when the request ends, however it ends."""

TURNS = TypeAdapter(list[TurnInput])


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


@router.post("/calls", responses=described(CallAnswer, 400, 401, 408, 413, 415, 422, 503), summary="Score a recording")
async def score_call(request: Request, models: Models, limits: ServerLimits, text: bool = Query(False)) -> Response:
    """Urgency and sentiment of a recording and of its utterances.

    Send a recording as `audio/*`, or as the part `audio` of a `multipart/form-data` with the optional part `turns`.
    Without turns, the server finds them.
    """
    async with AsyncExitStack() as opened:
        sent = await _received(request, limits, opened)
        with models.urgency() as served, at_field("#/audio"):
            prediction = await served.predict(sent.audio, sent.turns)
    return json_answer(_call_answer(sent.name, prediction, text))


def _call_answer(name: str, prediction: "RecordingPrediction", text: bool) -> dict[str, Any]:
    recording = PredictedRecording(name, PurePosixPath(name).stem.partition("_")[0], prediction)
    rejected = [
        {"start_ms": turn.start_ms, "end_ms": turn.end_ms, "reason": reason} for turn, reason in prediction.rejected
    ]
    return {
        **call_object(recording, text=text),
        "duration_ms": prediction.duration_ms,
        "rejected": rejected,
        "model": urgency_model(prediction.provenance),
    }


async def _received(request: Request, limits: Limits, opened: AsyncExitStack) -> SentCall:
    """The recording of a request. A large one stays in a file until `opened` ends."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("audio/"):
        return SentCall("", await _streamed(request, opened), None)
    if kind != "multipart/form-data":
        received = Fault("neither `audio/*` nor `multipart/form-data`", parameter="Content-Type")
        raise Problem(UNSUPPORTED_MEDIA, "Send the recording as `audio/*` or `multipart/form-data`.", [received])
    form = await opened.enter_async_context(request.form(max_files=2, max_fields=2, max_part_size=MAX_LABEL_BYTES))
    unknown = sorted(set(form) - {"audio", "turns"})
    audio = form.get("audio")
    if unknown or not isinstance(audio, UploadFile) or len(form.getlist("audio")) + len(form.getlist("turns")) > 2:
        raise Problem(
            INVALID_REQUEST, "The parts are `audio`, a file, and optionally `turns`.", [Fault("no such parts", "#")]
        )
    turns = form.get("turns")
    content = await turns.read(MAX_LABEL_BYTES + 1) if isinstance(turns, UploadFile) else turns
    return SentCall(printable(audio.filename or ""), _audio_of(audio.file, audio.size or 0), _turns(content, limits))


async def _streamed(request: Request, opened: AsyncExitStack) -> "Audio":
    """The body, which is the recording."""
    file = opened.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES))  # noqa: SIM115 - closed with `opened`
    async for chunk in request.stream():
        file.write(chunk)
    return _audio_of(file, file.tell())


def _audio_of(file: "IO[bytes]", size: int) -> "Audio":
    """The recording in an open file: its bytes, or the path of the file if it is large."""
    if not size:
        raise Problem(UNREADABLE_BODY, "There is no recording.", [Fault("is empty", "#/audio")])
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
