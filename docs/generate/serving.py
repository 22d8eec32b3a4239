"""The page about serving: problems, limits, and the messages of a stream."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import fields
from types import ModuleType
from typing import Any

from docs.generate.tables import first_line, table
from urgency_dagster.serving import problems
from urgency_dagster.serving.configuration import Limits, StreamLimits
from urgency_dagster.serving.problems import ProblemType
from urgency_dagster.serving.stream import stream_problems
from urgency_dagster.serving.stream.messages import CLIENT_MESSAGES, SERVER_EVENTS

ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
"""An entry of `Attributes:` in a docstring, with the lines that go on with it."""


def problem_table() -> str:
    """The types of problems: those of every request by status, then those of a stream."""
    of_requests, of_streams = problem_types(problems), problem_types(stream_problems)
    rows = [(kind, "requests") for kind in of_requests] + [(kind, "streams") for kind in of_streams]
    return table(
        ["type", "status", "meaning", "in"],
        [[f"`{kind.name}`", str(int(kind.status)), f"{kind.title}.", where] for kind, where in rows],
    )


def problem_types(module: ModuleType) -> list[ProblemType]:
    """The types that a module defines, by status."""
    found = [kind for kind in vars(module).values() if isinstance(kind, ProblemType)]
    return sorted(found, key=lambda kind: (kind.status, kind.name))


def request_limits() -> str:
    """The limits of a request or stream, with their defaults."""
    return _limits(Limits)


def stream_limits() -> str:
    """The limits of a call in progress, with their defaults."""
    return _limits(StreamLimits)


def _limits(limits: Any) -> str:
    meanings = dict(ATTRIBUTE.findall(inspect.getdoc(limits) or ""))
    rows = [[f"`{field.name}`", _default(field.default), meanings[field.name]] for field in fields(limits)]
    return table(["limit", "default", "meaning"], rows)


def _default(value: Any) -> str:
    return "none" if value is None else f"{value:,.10g}"


def stream_messages() -> str:
    """The messages of a client and of the server, by type."""
    return table(
        ["message", "from", "meaning"], [*_messages("client", CLIENT_MESSAGES), *_messages("server", SERVER_EVENTS)]
    )


def _messages(sender: str, messages: dict[str, Any]) -> Iterable[list[str]]:
    yield from ([f"`{name}`", sender, first_line(kind.__doc__)] for name, kind in messages.items())
