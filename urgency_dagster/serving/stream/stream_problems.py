"""The problems of a stream, beside those of every request, and the events and close codes that tell them."""

from http import HTTPStatus

from urgency_dagster.serving.problems import Problem, ProblemType
from urgency_dagster.serving.schemas.problems import ProblemAnswer
from urgency_dagster.serving.stream.messages import ErrorEvent

WRONG_ORDER = ProblemType("wrong-order", 409, "The message does not fit the state of the session")
MESSAGE_TOO_LARGE = ProblemType("message-too-large", 413, "The message is too large")
CALL_TOO_LONG = ProblemType("call-too-long", 413, "The call is too long")
TOO_FAST = ProblemType("too-fast", 429, "Audio arrives faster than it is heard")
TOO_QUIET = ProblemType("too-quiet", 408, "No message arrived in time")
UNKNOWN_SESSION = ProblemType("unknown-session", 404, "There is no session to resume")
EVENTS_LOST = ProblemType("events-lost", 410, "Events of the session are no longer kept")
TAKEN_OVER = ProblemType("taken-over", 409, "Another connection goes on with the session")

NORMAL_CLOSURE, POLICY_VIOLATION, MESSAGE_TOO_BIG, INTERNAL_ERROR, TRY_AGAIN_LATER = 1000, 1008, 1009, 1011, 1013
"""Source: RFC 6455, 7.4.1, and IANA's WebSocket Close Code Number Registry."""

CLOSE_CODES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: MESSAGE_TOO_BIG,
    HTTPStatus.TOO_MANY_REQUESTS: TRY_AGAIN_LATER,
    HTTPStatus.SERVICE_UNAVAILABLE: TRY_AGAIN_LATER,
    HTTPStatus.INTERNAL_SERVER_ERROR: INTERNAL_ERROR,
}


def error_event(problem: Problem, *, fatal: bool, sequence: int = 0) -> ErrorEvent:
    """The event that tells a problem.

    Args:
        problem: the problem.
        fatal: whether the connection ends.
        sequence: the number of the last event that was sent, for an event that is not kept. A client that resumes
            asks for the events after it.
    """
    document = ProblemAnswer.model_validate(problem.to_json())
    return ErrorEvent(type="error", sequence=sequence, fatal=fatal, problem=document)


def close_code(problem: Problem) -> int:
    """The close code of a connection that ends with a problem."""
    return CLOSE_CODES.get(HTTPStatus(problem.type.status), POLICY_VIOLATION)
