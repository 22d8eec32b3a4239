"""The OpenAPI document of the application."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from urgency_dagster.serving.problems import MEDIA_TYPE

DESCRIPTION = """\
Urgency and sentiment of emergency calls, and attention from wearables.

Every answer names the model and its training data by SHA-256. Text of a call is in an answer only if it is asked for.
Every error is a problem document (RFC 9457).
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document. It is made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        _mark_problems(document)
        app.openapi_schema = document
    return app.openapi_schema


def _mark_problems(document: dict[str, Any]) -> None:
    """Gives every error of the document the media type of problem documents."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status >= "400" and "application/json" in answer.get("content", {}):
                    answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
