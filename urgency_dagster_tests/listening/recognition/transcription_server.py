"""A real local server that speaks OpenAI's `/v1/audio/transcriptions`, and misbehaves as it is told."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import numpy as np
import soundfile


class TranscriptionServer(ThreadingHTTPServer):
    """Answers with the length of the recording, or as `answers` says.

    Attributes:
        answers: what to do with the next requests, in order. Later requests get the ordinary answer.
        requests: path and form of each request; the file is there as samples.
        released: ends the waiting of slow answers.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Callable[[_Handler], None]] = []
        self.requests: list[tuple[str, dict[str, str | np.ndarray]]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running() -> Iterator[TranscriptionServer]:
    with TranscriptionServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: TranscriptionServer

    def do_POST(self) -> None:
        form = self._form()
        self.server.requests.append((self.path, form))
        if self.server.answers:
            self.server.answers.pop(0)(self)
        else:
            self.answer({"text": f" 들린 글 {len(form['file'])} "})

    def _form(self) -> dict[str, str | np.ndarray]:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + body)
        form: dict[str, str | np.ndarray] = {}
        for part in parts.iter_parts():
            content = cast("bytes", part.get_payload(decode=True))
            name = str(part.get_param("name", header="content-disposition"))
            form[name] = soundfile.read(io.BytesIO(content))[0] if part.get_filename() else content.decode()
        return form

    def answer(self, content: object, status: int = 200, claimed: int = 0) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(claimed or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


Answer = Callable[[_Handler], None]


def says(content: object, status: int = 200, claimed: int = 0) -> Answer:
    return lambda handler: handler.answer(content, status, claimed)


def waits(handler: _Handler) -> None:
    """No byte until the test ends."""
    handler.server.released.wait()


def drips(handler: _Handler) -> None:
    """A byte now and then, each of them in time."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while not handler.server.released.wait(0.05):
            handler.wfile.write(b" ")
    except OSError:  # the client has gone
        pass


def hangs_up(handler: _Handler) -> None:
    handler.close_connection = True
