"""`/healthz` and `/readyz`: whether the process answers, and whether its models do."""

from fastapi import APIRouter
from fastapi.responses import Response

from urgency_dagster.serving.problems import NO_MODEL, Problem
from urgency_dagster.serving.routes.answers import described, json_answer
from urgency_dagster.serving.routes.lending import Models
from urgency_dagster.serving.schemas.models import LiveAnswer, ReadyAnswer

router = APIRouter(tags=["health"])

PIPELINES = ("urgency", "attention")


@router.get("/healthz", responses=described(LiveAnswer), summary="Whether the process answers")
async def healthz() -> Response:
    """It needs no token and asks no model."""
    return json_answer({"status": "ok"})


@router.get("/readyz", responses=described(ReadyAnswer, NO_MODEL), summary="Whether models answer")
async def readyz(models: Models) -> Response:
    """Ready means that there is a model, and that each answers a synthetic question.

    One pipeline is enough: `missing` names the other.
    """
    reasons = await models.probe()
    if not reasons:
        raise Problem(NO_MODEL, "There is neither an urgency model nor an attention model yet.")
    if silent := [name for name, reason in reasons.items() if reason is not None]:
        raise Problem(NO_MODEL, f"No answer from {', '.join(silent)}.")
    answering = {name.partition("/")[0] for name in reasons}
    missing = [pipeline for pipeline in PIPELINES if pipeline not in answering]
    return json_answer({"status": "ready", "models": list(reasons), "missing": missing})
