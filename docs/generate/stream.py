"""The AsyncAPI document of the stream, from the classes of its messages.

`python -m docs.generate.stream` writes it again. A test compares it with the classes.
"""

from inspect import cleandoc
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from urgency_dagster.serving.stream.messages import CLIENT_MESSAGES, PROTOCOL, SERVER_EVENTS
from urgency_dagster.writing import write_text

DOCUMENT = Path(__file__).parent.parent / "asyncapi.yaml"

ADDRESS = "/v1/calls/stream"

AUDIO = "audio"

DESCRIPTION = """
A call in progress. The client starts a session, sends audio, and receives scores while the call goes on.

The first message is `session.start`. After `session.created`, the client sends audio as binary messages, and as it
likes `turn` and `commit`; `finish` ends the call, and `session.finished` is the last event. After a lost connection,
`session.start` with `resume` goes on: `session.resumed` says how much has arrived, and the events that the client has
not seen follow. Silence and pauses end nothing; the server sends pings. A larger message than allowed ends the
connection with the code 1009.
"""

AUTHORISATION = """
Needed only if the server has a token. A browser, which can set no header here, offers two subprotocols: the name of the
protocol, and `bearer.` followed by the token in base64url without padding.
"""


def asyncapi_document() -> dict[str, Any]:
    """The document, AsyncAPI 3.0."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "urgency_dagster: a call in progress",
            "version": PROTOCOL.rpartition("v")[2],
            "description": DESCRIPTION.strip(),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8000",
                "protocol": "ws",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "stream": {
                "address": ADDRESS,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages()},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            }
        },
        "operations": {
            "receiveFromClient": _operation("receive", [*CLIENT_MESSAGES, AUDIO]),
            "sendToClient": _operation("send", [*SERVER_EVENTS]),
        },
        "components": {
            "messages": _messages(),
            "schemas": message_schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": AUTHORISATION.strip()}},
        },
    }


def message_schemas() -> dict[str, Any]:
    """The JSON schema of each class of a message and of its parts, by the name of the class."""
    received: list[tuple[type[BaseModel], Any]] = [(kind, "validation") for kind in CLIENT_MESSAGES.values()]
    sent: list[tuple[type[BaseModel], Any]] = [(kind, "serialization") for kind in SERVER_EVENTS.values()]
    _, schemas = models_json_schema([*received, *sent], ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/stream/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": "#/channels/stream"}, "messages": messages}


def _messages() -> dict[str, Any]:
    kinds: dict[str, type[BaseModel]] = {**CLIENT_MESSAGES, **SERVER_EVENTS}
    messages = {name: _message(name, kind) for name, kind in kinds.items()}
    audio = {
        "name": AUDIO,
        "summary": "The next audio: PCM16, little endian, mono, at the declared rate, as a binary message.",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }
    return {**messages, AUDIO: audio}


def _message(name: str, kind: type[BaseModel]) -> dict[str, Any]:
    summary = cleandoc(kind.__doc__ or "").partition("\n")[0]
    return {"name": name, "summary": summary, "payload": {"$ref": f"#/components/schemas/{kind.__name__}"}}


def as_yaml(document: dict[str, Any]) -> str:
    """The text of the document."""
    return yaml.dump(document, Dumper=_Plain, allow_unicode=True, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    """Writes no anchors, which tools for AsyncAPI do not all read, and several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature of PyYAML
        return True


def _lines(dumper: _Plain, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _lines)


if __name__ == "__main__":
    write_text(DOCUMENT, as_yaml(asyncapi_document()))
