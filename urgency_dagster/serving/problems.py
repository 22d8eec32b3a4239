"""Problem documents: what a client is told when its request has no answer.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

import json
import logging
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from urgency_dagster.errors import (
    ArtefactError,
    AttentionError,
    AudioError,
    DeviceMemoryError,
    InputError,
    MissingExtraError,
    ModelError,
    NoRecogniserError,
    NoSpeechError,
    OverloadError,
    RecognitionError,
    SettingsError,
    UrgencyError,
)

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

TYPE_PREFIX = "urn:urgency-dagster:problem:"
"""The start of each problem's `type`. It identifies the problem and leads to no page."""

RETRY_AFTER_S = 1
"""Seconds after which a client may ask a busy server again."""

MAX_FAULTS = 20
"""Faults of one request that are listed."""

MAX_NAME_LENGTH = 100
"""Maximum characters of a name in a pointer. A longer one is no name of a column."""


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem.

    Attributes:
        name: the end of its `type`.
        status: the HTTP status.
        title: what went wrong, the same for every occurrence.
    """

    name: str
    status: int
    title: str

    def example(self) -> dict[str, Any]:
        """An occurrence for the OpenAPI document."""
        example = Problem(self, f"{self.title}.").to_json()
        return example | {"instance": "urn:uuid:8c5d2f0e-6f0c-4d0a-9d7e-2f9f0f4b7f11"}


INVALID_REQUEST = ProblemType("invalid-request", 422, "The request does not fit its schema")
UNREADABLE_BODY = ProblemType("unreadable-body", 400, "The body cannot be read")
UNUSABLE_AUDIO = ProblemType("unusable-audio", 422, "The recording cannot be used")
NO_SPEECH = ProblemType("no-speech", 422, "The recording has no turn that can be used")
UNUSABLE_INPUT = ProblemType("unusable-input", 422, "The input does not fit the model")
UNUSABLE_ROWS = ProblemType("unusable-rows", 422, "The rows do not fit the model")
UNKNOWN_MODEL = ProblemType("unknown-model", 404, "There is no model of this name")
NO_REPORT = ProblemType("no-report", 404, "There is no such report")
NOT_RECOGNISED = ProblemType("not-recognised", 503, "The recogniser gives no text")
NO_MODEL = ProblemType("no-model", 503, "No model can answer now")
UNAUTHORISED = ProblemType("unauthorised", 401, "The request carries no valid token")
FOREIGN_ORIGIN = ProblemType("foreign-origin", 403, "The request comes from a page of another origin")
NOT_FOUND = ProblemType("not-found", 404, "There is nothing at this path")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "The path does not take this method")
FOREIGN_HOST = ProblemType("foreign-host", 421, "The request is for another host")
BODY_TOO_LARGE = ProblemType("body-too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA = ProblemType("unsupported-media", 415, "The body is of another media type")
SLOW_BODY = ProblemType("slow-body", 408, "The body did not arrive in time")
TOO_SLOW = ProblemType("too-slow", 503, "The request took too long")
BUSY = ProblemType("busy", 503, "The server answers too many requests")
INTERNAL = ProblemType("internal", 500, "The server has a fault")

BY_ERROR: Mapping[type[UrgencyError], ProblemType] = {
    NoSpeechError: NO_SPEECH,
    AudioError: UNUSABLE_AUDIO,
    InputError: UNUSABLE_INPUT,
    AttentionError: UNUSABLE_ROWS,
    RecognitionError: NOT_RECOGNISED,
    NoRecogniserError: NOT_RECOGNISED,
    DeviceMemoryError: UNUSABLE_AUDIO,
    OverloadError: BUSY,
    ArtefactError: NO_MODEL,
    MissingExtraError: NO_MODEL,
    ModelError: NO_MODEL,
    SettingsError: NO_MODEL,
    UrgencyError: INTERNAL,
}
"""The problem of each error of the project. An error has the problem of its nearest class."""


@dataclass(frozen=True)
class Fault:
    """One fault of a request: where it is, and what is wrong there.

    Attributes:
        detail: what is wrong, without the value that was received.
        pointer: JSON pointer into the body, as a URI fragment; None if the fault is a parameter's.
        parameter: name of a query parameter, a path parameter or a header.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def to_json(self) -> dict[str, str]:
        """The fault as an entry of `errors`."""
        place = {"pointer": self.pointer, "parameter": self.parameter}
        return {"detail": self.detail, **{name: value for name, value in place.items() if value is not None}}


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - the field's word for an error that a client is told
    """A problem with the facts of its occurrence. A route raises it.

    Attributes:
        type: its kind.
        detail: what is wrong with this request, without text, audio or other values of it.
        faults: the places of the request that are wrong.
        headers: further headers of the answer.
    """

    type: ProblemType
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.type.status

    def to_json(self) -> dict[str, Any]:
        """The problem document. `error` is the member that the Open Inference Protocol asks for."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.type.name,
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "instance": f"urn:uuid:{uuid4()}",
            "error": self.detail,
        }
        return document | ({"errors": [fault.to_json() for fault in self.faults]} if self.faults else {})

    def response(self) -> Response:
        """The answer."""
        document = self.to_json()
        _log.info("problem %s %s", self.type.name, document["instance"])
        retry = {"retry-after": str(RETRY_AFTER_S)} if self.type is BUSY else {}
        content = json.dumps(document, ensure_ascii=False)
        return Response(content, self.status, {**retry, **self.headers}, MEDIA_TYPE)


@contextmanager
def at_field(pointer: str, *kinds: type[UrgencyError]) -> Iterator[None]:
    """Names the field that an error of the project is about.

    Args:
        pointer: JSON pointer into the body, as a URI fragment such as `#/turns`.
        kinds: the errors that are about this field; all without any.

    Raises:
        Problem: instead of an error for which the client can do something.
    """
    try:
        yield
    except UrgencyError as error:
        if kinds and not isinstance(error, kinds):
            raise
        problem = of_error(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise problem from error
        raise Problem(problem.type, problem.detail, [Fault(problem.detail, pointer)]) from error


def of_error(error: UrgencyError) -> Problem:
    """The problem of an error of the project.

    The message of an error that is no fault of the client can name folders of the server. It goes to the log instead.
    """
    kind = next(BY_ERROR[cls] for cls in type(error).__mro__ if cls in BY_ERROR)
    if kind.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(kind, str(error))
    _log.warning("%s: %s", type(error).__name__, error)
    return Problem(kind, f"{kind.title}. The log of the server says why.")


def of_unexpected(error: Exception) -> Problem:
    """The problem of an error that nobody expected. Its message can hold values of the request: no part of it is kept.

    The log gets the class, what the system says of it, such as a full disk, and the line of code.
    """
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{place[0].filename.rpartition('/')[2]}:{place[0].lineno}" if place else "an unknown line"
    reason = f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
    _log.error("unexpected %s%s at %s", type(error).__name__, reason, where)
    return Problem(INTERNAL, "The server has a fault. Its log names the place.")


def of_validation(error: RequestValidationError | ValidationError, under: str = "#") -> Problem:
    """The problem of a request that does not fit its schema. What was received is not repeated.

    Args:
        error: the error of pydantic.
        under: pointer to the part of the body that was validated.
    """
    found = list(error.errors())
    if any(entry["type"] == "json_invalid" for entry in found):
        return Problem(UNREADABLE_BODY, "The body is not JSON.", [Fault("is not JSON", under)])
    faults = [_fault(entry, under) for entry in found[:MAX_FAULTS]]
    return Problem(INVALID_REQUEST, f"{len(found)} parts of the request do not fit its schema.", faults)


def _fault(entry: Any, under: str) -> Fault:
    place = list(entry["loc"])
    source = place.pop(0) if place and place[0] in ("body", "query", "path", "header", "cookie") else "body"
    # The name of an unknown field comes from the client, and can be anything.
    detail = "is no field of the schema" if entry["type"] == "extra_forbidden" else str(entry["msg"])
    if source != "body":
        return Fault(detail, parameter=str(place[0]) if place else str(source))
    if entry["type"] == "extra_forbidden":
        return Fault("has a field that is not in the schema", _pointer(under, place[:-1]))
    return Fault(detail, _pointer(under, place))


def _pointer(under: str, place: Sequence[Any]) -> str:
    """A JSON pointer (RFC 6901), cut before a name that is too long."""
    for step in place:
        if len(str(step)) > MAX_NAME_LENGTH:
            break
        under += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return under


STATUS_TYPES = {
    HTTPStatus.BAD_REQUEST: UNREADABLE_BODY,
    HTTPStatus.NOT_FOUND: NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED,
}


def of_http(error: HTTPException) -> Problem:
    """The problem of an error of the framework, such as an unknown path, or of a body that was not read to its end."""
    if isinstance(error.__cause__, Problem):
        return error.__cause__
    status = HTTPStatus(error.status_code)
    kind = STATUS_TYPES.get(status) or ProblemType(status.name.lower().replace("_", "-"), status, status.phrase)
    return Problem(kind, f"{kind.title}.", headers=error.headers or {})


def add_problem_handlers(app: FastAPI) -> None:
    """Answers every error of an application with a problem document. `RequestLimits` does so for unexpected errors."""
    handlers: dict[type[Exception], Any] = {
        Problem: lambda error: error,
        UrgencyError: of_error,
        RequestValidationError: of_validation,
        HTTPException: of_http,
    }
    for kind, problem_of in handlers.items():
        app.add_exception_handler(kind, _handler(problem_of))


def _handler(problem_of: Any) -> Any:
    async def answer(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the signature of Starlette
        response: Response = problem_of(error).response()
        return response

    return answer
