"""The AsyncAPI document describes the messages that go over the wire."""

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from fastapi.testclient import TestClient

from docs.generate.stream import DOCUMENT, as_yaml, asyncapi_document
from urgency_dagster.listening import Turn
from urgency_dagster.serving.stream.messages import CLIENT_MESSAGES, SERVER_EVENTS
from urgency_dagster_tests.serving.conftest import client, served_root, spoken, text_model
from urgency_dagster_tests.serving.stream.conftest import (
    Event,
    connected,
    pieces,
    received,
    speech,
    start,
    turn_message,
    until,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["client", "served_root", "speech", "spoken", "text_model"]


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))


def test_it_is_that_of_the_classes() -> None:
    """Write it again with `python -m docs.generate.stream`."""
    assert DOCUMENT.read_text(encoding="utf-8") == as_yaml(asyncapi_document())


def test_every_reference_leads_somewhere(document: Any) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, list):
            return [found for entry in value for found in references(entry)]
        if not isinstance(value, dict):
            return []
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for entry in value.values() for found in references(entry)]

    found = references(document)
    assert len(found) > 30
    for reference in found:
        place = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
        assert isinstance(place, dict)


def test_it_has_what_asyncapi_3_asks_for(document: Any) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    channel = document["channels"]["stream"]
    assert channel["messages"].keys() == {*CLIENT_MESSAGES, *SERVER_EVENTS, "audio"}
    assert sorted(operation["action"] for operation in document["operations"].values()) == ["receive", "send"]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def check(document: Any, message: Event) -> None:
    """Checks a message against its schema in the document."""
    payload = document["components"]["messages"][message["type"]]["payload"]
    jsonschema.Draft202012Validator({**document, **payload}).validate(message)


def test_the_messages_on_the_wire_fit_it(client: TestClient, document: Any, speech: "NDArray[np.int16]") -> None:
    sent = [
        start(listening="turns", text=True),
        turn_message(Turn(700, 2700, "여기", "0")),
        turn_message(Turn(0, 100, "짧음")),
        {"type": "commit"},
        {"type": "finish"},
    ]
    with connected(client, listening="turns", text=True) as socket:
        events = [received(socket)]
    resume = {"session": events[0]["session"], "sequence": 1}
    with connected(client, listening="turns", text=True, resume=resume) as socket:
        for message in sent[1:3]:
            socket.send_json(message)
        for piece in pieces(speech, 1600):
            socket.send_bytes(piece)
        for message in sent[3:]:
            socket.send_json(message)
        events += until(socket, "session.finished")
    for message in [*sent, start(resume=resume), *events]:
        check(document, message)
    assert {event["type"] for event in events} == {*SERVER_EVENTS} - {"backpressure"}
    with pytest.raises(jsonschema.ValidationError):
        check(document, {"type": "commit", "more": json.dumps(1)})
