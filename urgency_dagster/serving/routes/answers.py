"""Answers as JSON, and how the OpenAPI document describes them."""

import json
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel

from urgency_dagster.serving.schemas.problems import ProblemAnswer
from urgency_dagster.urgency import Provenance


def json_answer(content: Any) -> Response:
    """A JSON answer. Korean stays readable. It is not validated again: a test compares answers with their schemas."""
    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), media_type="application/json")


def described(answer: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the OpenAPI document.

    Args:
        answer: schema of the answer with status 200.
        statuses: the statuses of its problem documents.
    """
    return {200: {"model": answer}, **{status: {"model": ProblemAnswer} for status in statuses}}


def urgency_model(provenance: Provenance) -> dict[str, Any]:
    """The urgency model that answered, as `schemas.calls.UrgencyModelAnswer` describes it."""
    return {
        "sha256": provenance.weights_sha256,
        "data_sha256": provenance.data_sha256,
        "speech_model": provenance.speech_model,
    }
