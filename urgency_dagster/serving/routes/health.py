"""`/healthz` and `/readyz`: whether the process answers, and whether its models do."""

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import Response

from urgency_dagster.errors import ArtefactError
from urgency_dagster.serving.problems import NO_MODEL, Problem
from urgency_dagster.serving.routes.answers import described, json_answer
from urgency_dagster.serving.routes.lending import Models
from urgency_dagster.serving.schemas.models import LiveAnswer, ReadyAnswer

if TYPE_CHECKING:
    from urgency_dagster.serving.served_models import ServedModels

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=described(LiveAnswer), summary="Whether the process answers")
async def healthz() -> Response:
    """It needs no token and asks no model."""
    return json_answer({"status": "ok"})


@router.get("/readyz", responses=described(ReadyAnswer, 503), summary="Whether models answer")
async def readyz(models: Models) -> Response:
    """Ready means that at least one of the two pipelines has a model that answers. `missing` names the other."""
    missing = missing_models(models)
    if len(missing) == 2:
        raise Problem(NO_MODEL, "There is neither an urgency model nor an attention model yet.")
    return json_answer({"status": "ready", "missing": missing})


def missing_models(models: "ServedModels") -> list[str]:
    """The pipelines without a model."""
    missing = []
    try:
        with models.urgency():
            pass
    except ArtefactError:
        missing.append("urgency")
    with models.attention() as by_name:
        return missing if by_name else [*missing, "attention"]
