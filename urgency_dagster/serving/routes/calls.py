"""`POST /v1/calls`: urgency and sentiment of a recording."""

from contextlib import AsyncExitStack
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from urgency_dagster.errors import InputError, NoSpeechError
from urgency_dagster.scoring import PredictedRecording, call_object
from urgency_dagster.serving.problems import (
    NO_SPEECH,
    NOT_RECOGNISED,
    UNSUPPORTED_MEDIA,
    UNUSABLE_AUDIO,
    UNUSABLE_INPUT,
    at_field,
)
from urgency_dagster.serving.routes.answers import EVERY_BODY, described, json_answer, urgency_model
from urgency_dagster.serving.routes.lending import Models, ServerLimits
from urgency_dagster.serving.routes.sent_call import CALL_BODY, check_length, receive_call
from urgency_dagster.serving.schemas.calls import CallAnswer

if TYPE_CHECKING:
    from urgency_dagster.urgency import RecordingPrediction

router = APIRouter(prefix="/v1", tags=["calls"])


@router.post(
    "/calls",
    responses=described(
        CallAnswer, *EVERY_BODY, UNSUPPORTED_MEDIA, UNUSABLE_AUDIO, NO_SPEECH, UNUSABLE_INPUT, NOT_RECOGNISED
    ),
    openapi_extra={"requestBody": CALL_BODY},
    summary="Score a recording",
)
async def score_call(
    request: Request,
    models: Models,
    limits: ServerLimits,
    text: Annotated[bool, Query(description="Whether the utterances of the answer have their text.")] = False,
) -> Response:
    """Urgency and sentiment of a recording and of its utterances.

    Send a recording as `audio/*`, or as the part `audio` of a `multipart/form-data` with the optional part `turns`.
    Without turns, the server finds them. The name of the recording is that of the part.
    """
    async with AsyncExitStack() as opened:
        sent = await receive_call(request, limits, opened)
        about_turns = (InputError, NoSpeechError) if sent.turns else (InputError,)
        with models.urgency() as served, at_field("#/audio"), at_field("#/turns", *about_turns):
            await check_length(sent.audio, limits)
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
