"""`POST /v1/attention`: what the attention models answer for rows of wearable features."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import Response

from urgency_dagster.serving.problems import (
    INVALID_REQUEST,
    NO_MODEL,
    UNKNOWN_MODEL,
    UNUSABLE_ROWS,
    Fault,
    Problem,
    at_field,
)
from urgency_dagster.serving.routes.answers import EVERY_BODY, described, json_answer
from urgency_dagster.serving.routes.json_bodies import JsonRoute
from urgency_dagster.serving.routes.lending import Models, ServerLimits
from urgency_dagster.serving.schemas.attention import AttentionAnswer, AttentionInput

if TYPE_CHECKING:
    from urgency_dagster.attention import Prediction, Predictor

router = APIRouter(prefix="/v1", tags=["attention"], route_class=JsonRoute)


@router.post(
    "/attention",
    responses=described(AttentionAnswer, *EVERY_BODY, UNKNOWN_MODEL, UNUSABLE_ROWS),
    summary="Score rows of wearable features",
)
async def score_rows(body: AttentionInput, models: Models, limits: ServerLimits) -> Response:
    """Label, probability and reasons of each row, by one model, some models, or all side by side."""
    if len(body.rows) > limits.rows:
        fault = Fault(f"has more than {limits.rows} entries", "#/rows")
        raise Problem(INVALID_REQUEST, f"A request has up to {limits.rows} rows.", [fault])
    with models.attention() as by_name, at_field("#/rows"):
        asked = _asked(by_name, body.models)
        answers = await asyncio.to_thread(_answers, asked, body)
    return json_answer({"models": answers})


def _asked(by_name: "Mapping[str, Predictor]", names: list[str] | None) -> "dict[str, Predictor]":
    """The models that a request asks, in its order."""
    if not by_name:
        raise Problem(NO_MODEL, "There is no attention model yet.")
    unknown = [position for position, name in enumerate(names or ()) if name not in by_name]
    if unknown:
        faults = [Fault("is no model", f"#/models/{position}") for position in unknown]
        raise Problem(UNKNOWN_MODEL, f"The models are {', '.join(sorted(by_name))}.", faults)
    return {name: by_name[name] for name in names or sorted(by_name)}


def _answers(asked: "Mapping[str, Predictor]", body: AttentionInput) -> dict[str, Any]:
    return {name: _answer(model.predict(body.rows, reasons=body.reasons)) for name, model in asked.items()}


def _answer(prediction: "Prediction") -> dict[str, Any]:
    explanation, provenance = prediction.explanation, prediction.provenance
    return {
        "rows": [
            {
                "label": row.label,
                "probability": row.probability,
                "reasons": [
                    {"feature": reason.feature, "value": reason.value, "contribution": reason.contribution}
                    for reason in row.reasons
                ],
            }
            for row in prediction.rows
        ],
        "threshold": prediction.threshold,
        "unknown_columns": list(prediction.unknown_columns),
        "explanation": None if explanation is None else vars(explanation),
        "model": {"sha256": provenance.model_sha256, "data_sha256": provenance.data_sha256},
    }
