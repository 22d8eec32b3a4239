from dataclasses import fields

from docs.generate.serving import (
    problem_table,
    problem_types,
    request_limits,
    stream_limits,
    stream_messages,
)
from urgency_dagster.serving import problems
from urgency_dagster.serving.configuration import Limits, StreamLimits
from urgency_dagster.serving.stream import stream_problems
from urgency_dagster.serving.stream.messages import CLIENT_MESSAGES, SERVER_EVENTS
from urgency_dagster_tests.docs.markdown import tables


def test_every_problem_has_a_row_with_its_status() -> None:
    (rows,) = tables(problem_table())
    named = {(row[0].strip("`"), int(row[1]), row[3]) for row in rows[1:]}
    assert {(kind.name, kind.status, "requests") for kind in problems.BY_ERROR.values()} < named
    assert ("too-fast", 429, "streams") in named
    assert len(rows) - 1 == len(problem_types(problems)) + len(problem_types(stream_problems)) > 25


def test_every_limit_has_its_default_and_a_meaning() -> None:
    for text, limits in ((request_limits(), Limits), (stream_limits(), StreamLimits)):
        (rows,) = tables(text)
        assert [row[0].strip("`") for row in rows[1:]] == [field.name for field in fields(limits)]
        assert all(row[2].endswith(".") for row in rows[1:])
    assert "| `audio_s` | 10,800 | length of a recording in seconds. |" in request_limits()
    assert "| `idle_s` | none | " in stream_limits()
    assert "message, so silence ends nothing. |" in stream_limits()  # the second line of a meaning


def test_every_message_of_a_stream_has_a_row() -> None:
    (rows,) = tables(stream_messages())
    assert [row[0].strip("`") for row in rows[1:]] == [*CLIENT_MESSAGES, *SERVER_EVENTS]
    assert all(row[2] for row in rows)
