"""`POST /v1/utterances`: urgency and sentiment of utterances that the client has cut and embedded itself."""

from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response

from urgency_dagster.errors import InputError
from urgency_dagster.serving.problems import INVALID_REQUEST, UNUSABLE_INPUT, Fault, Problem, at_field
from urgency_dagster.serving.routes.answers import EVERY_BODY, described, json_answer, urgency_model
from urgency_dagster.serving.routes.json_bodies import JsonRoute
from urgency_dagster.serving.routes.lending import Models, ServerLimits
from urgency_dagster.serving.schemas.calls import UtteranceInput, UtterancesAnswer, UtterancesInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from urgency_dagster.urgency import ClassProbabilities, Prediction

router = APIRouter(prefix="/v1", tags=["calls"], route_class=JsonRoute)


@router.post(
    "/utterances",
    responses=described(UtterancesAnswer, *EVERY_BODY, UNUSABLE_INPUT),
    summary="Score utterances with vectors",
)
async def score_utterances(body: UtterancesInput, models: Models, limits: ServerLimits) -> Response:
    """Urgency and sentiment of utterances and of their calls, from texts and vectors of the speech model.

    It is for clients that embed speech themselves, such as the pipeline: no audio is sent. The utterances of many calls
    can be sent together.
    """
    if len(body.utterances) > limits.utterances:
        fault = Fault(f"has more than {limits.utterances} entries", "#/utterances")
        raise Problem(INVALID_REQUEST, f"A request has up to {limits.utterances} utterances.", [fault])
    with models.urgency() as served, at_field("#/utterances"):
        texts, vectors = [utterance.text for utterance in body.utterances], _vectors(body.utterances)
        prediction = await served.predict_utterances(texts, vectors, _calls(body.utterances))
    return json_answer(_answer(prediction))


def _vectors(utterances: list[UtteranceInput]) -> "NDArray[np.float32]":
    try:
        with np.errstate(over="ignore"):  # an infinite value is refused later
            return np.array([utterance.vector for utterance in utterances], np.float32)
    except ValueError as error:
        raise InputError("vectors of different shapes", "one shape", "embed all utterances alike") from error


def _calls(utterances: list[UtteranceInput]) -> list[str] | None:
    calls = [utterance.call for utterance in utterances if utterance.call is not None]
    if calls and len(calls) < len(utterances):
        raise InputError("a call of some utterances only", "a call for all or for none", "name the others")
    return calls or None


def _answer(prediction: "Prediction") -> dict[str, Any]:
    return {
        "utterances": [
            {"urgency": _class(utterance.urgency), "sentiment": _class(utterance.sentiment)}
            for utterance in prediction.utterances
        ],
        "calls": [
            {
                "call": call.call,
                "urgency": _class(call.urgency),
                "sentiment": _class(call.sentiment),
                "abstain": call.abstain,
                "alarm": call.alarm,
            }
            for call in prediction.calls
        ],
        "listening": "label",
        "model": urgency_model(prediction.provenance),
    }


def _class(answer: "ClassProbabilities | None") -> dict[str, Any] | None:
    return None if answer is None else {"label": answer.label, "probabilities": answer.probabilities}
