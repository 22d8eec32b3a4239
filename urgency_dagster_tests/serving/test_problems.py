"""Problem documents."""

import errno
import logging
import os

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError

from urgency_dagster import errors
from urgency_dagster.errors import ArtefactError, AudioError, NoSpeechError, RecognitionError, Rejected, UrgencyError
from urgency_dagster.serving import problems
from urgency_dagster.serving.problems import (
    MAX_FAULTS,
    Problem,
    ProblemType,
    at_field,
    of_error,
    of_unexpected,
    of_validation,
)
from urgency_dagster.serving.schemas.attention import AttentionInput
from urgency_dagster.serving.schemas.calls import TurnInput

SECRET = "신고자가 말한 것"

TYPES = [value for value in vars(problems).values() if isinstance(value, ProblemType)]


def test_each_type_of_problem_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in TYPES}) == len(TYPES)
    assert all(400 <= kind.status < 600 for kind in TYPES)


def test_a_document_has_the_members_of_the_standard() -> None:
    document = Problem(problems.NO_SPEECH, "what is wrong").to_json()
    assert {"type", "title", "status", "detail", "instance"} <= set(document)
    assert document["status"] == 422
    assert document["instance"] != Problem(problems.NO_SPEECH, "what is wrong").to_json()["instance"]


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (AudioError("x"), 422, "unusable-audio"),
        (NoSpeechError("x"), 422, "no-speech"),
        (errors.InputError("x"), 422, "unusable-input"),
        (errors.AttentionError("x"), 422, "unusable-rows"),
        (errors.NoFeatureError("x"), 422, "unusable-rows"),
        (ArtefactError("x"), 503, "no-model"),
        (errors.ModelError("x"), 503, "no-model"),
        (RecognitionError("x"), 503, "not-recognised"),
        (errors.NoRecogniserError("x"), 503, "not-recognised"),
        (errors.DeviceMemoryError("x"), 422, "unusable-audio"),
        (errors.OverloadError("x"), 503, "busy"),
        (Rejected("x", "y"), 500, "internal"),
    ],
)
def test_an_error_of_the_project_has_its_problem(error: UrgencyError, status: int, name: str) -> None:
    problem = of_error(error)
    assert (problem.status, problem.type.name) == (status, name)


def test_the_message_of_a_fault_of_the_server_goes_to_its_log_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        problem = of_error(ArtefactError("there is no /srv/models/urgency"))
    assert "/srv" not in problem.detail
    assert "/srv/models/urgency" in caplog.text


def test_the_log_names_a_full_disk_but_no_file(caplog: pytest.LogCaptureFixture) -> None:
    problem = of_unexpected(OSError(errno.ENOSPC, SECRET, f"{SECRET}.wav"))
    assert os.strerror(errno.ENOSPC) in caplog.text
    assert SECRET not in caplog.text
    assert (problem.status, os.strerror(errno.ENOSPC) in problem.detail) == (500, False)


def test_the_field_of_an_error_is_named() -> None:
    with pytest.raises(Problem) as named, at_field("#/audio"), at_field("#/turns", NoSpeechError):
        raise AudioError("not decodable")
    assert named.value.to_json()["errors"] == [{"detail": "not decodable", "pointer": "#/audio"}]
    with pytest.raises(Problem) as named, at_field("#/audio"), at_field("#/turns", NoSpeechError):
        raise NoSpeechError("no turn")
    assert named.value.faults[0].pointer == "#/turns"


def refused(adapter: TypeAdapter[object], value: object) -> Problem:
    with pytest.raises(ValidationError) as error:
        adapter.validate_python(value)
    return of_validation(error.value, "#/turns")


TURNS: TypeAdapter[object] = TypeAdapter(list[TurnInput])


def test_a_validation_names_places_and_repeats_no_value() -> None:
    turns = [{"start_ms": SECRET, "end_ms": 2, "text": [SECRET], SECRET: SECRET}]
    document = refused(TURNS, turns).to_json()
    pointers = {fault["pointer"] for fault in document["errors"]}
    assert pointers == {"#/turns/0/start_ms", "#/turns/0/text", "#/turns/0"}
    assert SECRET not in str(document)


def test_a_validation_lists_a_few_faults() -> None:
    assert len(refused(TURNS, [{}] * 1000).faults) == MAX_FAULTS


def test_a_long_name_is_left_out_of_a_pointer() -> None:
    rows = {"rows": [{"x" * 1000: "no number", "a/b~c": "no number"}]}
    problem = refused(TypeAdapter(AttentionInput), rows)
    pointers = {str(fault.pointer) for fault in problem.faults}
    assert all(len(pointer) < 100 for pointer in pointers)
    assert any("/a~1b~0c" in pointer for pointer in pointers)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/v1/calls", 405), ("DELETE", "/healthz", 405)]
)
def test_an_error_of_the_framework_is_a_problem_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert ("allow" in answer.headers) == (status == 405)
