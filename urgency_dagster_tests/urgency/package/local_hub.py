"""A hub on this machine: it takes one upload into a repository and gives the files back, by the Hub's own protocol.

Files travel inside the commit. The real Hub takes large files by LFS or Xet, which is not imitated.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "a" * 40


@dataclass
class Hub:
    """What the hub holds and was asked.

    Attributes:
        endpoint: its address.
        files: the content of each uploaded file, by path.
        created: the last request for a new repository.
        cards: the READMEs that were sent for validation.
    """

    endpoint: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    created: dict[str, Any] = field(default_factory=dict)
    cards: list[str] = field(default_factory=list)

    def posted(self, path: str, body: bytes) -> dict[str, Any] | None:
        """The answer to a POST request; None if it is unknown."""
        if path == "/api/repos/create":
            self.created = json.loads(body)
            return {"url": f"{self.endpoint}/{self.created['organization']}/{self.created['name']}"}
        if path == "/api/validate-yaml":
            self.cards.append(json.loads(body)["content"])
            return {"errors": [], "warnings": []}
        if "/preupload/" in path:
            asked = [file["path"] for file in json.loads(body)["files"]]
            return {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in asked]}
        if "/commit/" in path:
            operations = [json.loads(line) for line in body.splitlines()]
            for value in (operation["value"] for operation in operations if operation["key"] == "file"):
                self.files[value["path"]] = base64.b64decode(value["content"])
            return {
                "commitUrl": f"{self.endpoint}{path.removeprefix('/api/models')}/{COMMIT}",
                "commitOid": COMMIT,
                "success": True,
            }
        return None

    def got(self, path: str) -> Any:
        """The answer to a GET request: JSON, or the bytes of a file; None if it is unknown."""
        if "/tree/" in path:
            return [{"type": "file", "path": name, "size": len(c), "oid": _hash(c)} for name, c in self.files.items()]
        if "/revision/" in path:
            return {"id": "team/urgency", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
        return self.files.get(path.partition(f"/resolve/{COMMIT}/")[2])


@contextmanager
def local_hub() -> Iterator[Hub]:
    """Runs a hub in a thread."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(hub.posted(self.path, body))

        def do_GET(self) -> None:
            self.answer(hub.got(self.path.partition("?")[0]))

        do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

        def answer(self, value: Any) -> None:
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(404 if value is None else 200)
            headers = {"Content-Length": str(len(content)), "ETag": f'"{_hash(content)}"', "X-Repo-Commit": COMMIT}
            for name, header in headers.items():
                self.send_header(name, header)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Keeps the requests out of the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
