"""Answers as JSON, and how the OpenAPI document describes them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel

from urgency_dagster.serving.openapi import PROBLEM_SCHEMA
from urgency_dagster.serving.problems import (
    BODY_TOO_LARGE,
    BUSY,
    FOREIGN_HOST,
    FOREIGN_ORIGIN,
    INTERNAL,
    INVALID_REQUEST,
    MEDIA_TYPE,
    NO_MODEL,
    SLOW_BODY,
    TOO_SLOW,
    UNAUTHORISED,
    UNREADABLE_BODY,
    ProblemType,
)
from urgency_dagster.urgency import Provenance


def json_answer(content: Any) -> Response:
    """A JSON answer. Korean stays readable. It is not validated again: a test compares answers with their schemas."""
    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), media_type="application/json")


EVERY_ROUTE = (UNAUTHORISED, FOREIGN_ORIGIN, FOREIGN_HOST, INTERNAL, BUSY, TOO_SLOW)
"""Problems of every route."""

EVERY_BODY = (UNREADABLE_BODY, SLOW_BODY, BODY_TOO_LARGE, INVALID_REQUEST, NO_MODEL)
"""Problems of every route with a body: a model answers there."""


def described(answer: type[BaseModel], *problems: ProblemType) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the OpenAPI document.

    Args:
        answer: schema of the answer with status 200.
        problems: its problems besides those of every route.
    """
    return {200: {"model": answer}, **described_problems(*problems)}


def described_problems(*problems: ProblemType) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route, as `described`."""
    by_status: dict[int, list[ProblemType]] = defaultdict(list)
    for problem in (*problems, *EVERY_ROUTE):
        by_status[problem.status].append(problem)
    return {status: _of_status(of_status) for status, of_status in sorted(by_status.items())}


def _of_status(problems: Sequence[ProblemType]) -> dict[str, Any]:
    """The problem documents of one status."""
    examples = {problem.name: {"summary": problem.title, "value": problem.example()} for problem in problems}
    content = {MEDIA_TYPE: {"schema": {"$ref": PROBLEM_SCHEMA}, "examples": examples}}
    return {"description": "; or ".join(problem.title for problem in problems) + ".", "content": content}


def urgency_model(provenance: Provenance) -> dict[str, Any]:
    """The urgency model that answered, as `schemas.calls.UrgencyModelAnswer` describes it."""
    return {
        "sha256": provenance.weights_sha256,
        "data_sha256": provenance.data_sha256,
        "speech_model": provenance.speech_model,
    }
