"""The OpenAPI document of the application."""

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from urgency_dagster.serving.schemas.problems import ProblemAnswer

if TYPE_CHECKING:
    from fastapi import FastAPI

PROBLEM_SCHEMA = "#/components/schemas/ProblemAnswer"

DESCRIPTION = """\
Urgency and sentiment of emergency calls, and attention from wearables.

Every answer names the model and its training data by SHA-256. Text of a call is in an answer only if it is asked for.
Every error is a problem document (RFC 9457).
"""

TAGS = {
    "calls": "Urgency and sentiment of recordings and utterances.",
    "attention": "Attention from rows of wearable features.",
    "models": "The models that answer.",
    "reports": "Evaluation, leaderboard, audit and monitoring, read only.",
    "health": "Probes of an orchestrator. They need no token.",
    "open inference protocol": "The attention models for clients of KServe, Triton and Seldon.",
}

BEARER = {"type": "http", "scheme": "bearer", "description": "The value of URGENCY_API_TOKEN."}


def describe(app: "FastAPI") -> dict[str, Any]:
    """The OpenAPI 3.1 document. It is made once."""
    if app.openapi_schema is None:
        tags = [{"name": name, "description": text} for name, text in TAGS.items()]
        document = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=tags
        )
        components = document.setdefault("components", {})
        problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"] |= problem.pop("$defs") | {"ProblemAnswer": problem}
        if app.state.config.token:
            components["securitySchemes"] = {"token": BEARER}
            document["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema
