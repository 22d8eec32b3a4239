"""Several processes behind one address: the same answers, the same rules, and one may be killed."""

import os
import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig, serve
from urgency_dagster_tests.child_process import PATIENCE_S, child_process
from urgency_dagster_tests.serving.clients import Question, asking, wait_for
from urgency_dagster_tests.serving.own_root import config, own_root

__all__ = ["config", "own_root"]

TOKEN = "a token"
ANSWERS = 10


def test_replicas_need_a_token(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="URGENCY_API_TOKEN"):
        serve(ServingConfig(tmp_path, port=0), lambda _: None, replicas=2)


@pytest.mark.slow
def test_replicas_answer_by_the_same_rules_and_outlive_one_of_them(own_root: StoragePaths) -> None:
    question = Question.of(own_root.root)
    command = [sys.executable, "-c", "from urgency_dagster.cli import main; main()", "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["URGENCY_API_TOKEN"] = TOKEN
    options = ["--replicas", "2", "--storage", str(own_root.root)]
    with child_process([*command, *options], stdout=-1, env=environment) as server:
        assert server.stdout is not None
        address = next(line for line in server.stdout if "http://" in line).split()[4].rstrip(";")
        try:
            _check_rules(address)
            with asking(address, question, TOKEN) as clients:
                wait_for(lambda: all(len(client.statuses) >= ANSWERS for client in clients))
                _replicas(server.pid)[0].kill()
                before = [client.statuses.count(200) for client in clients]
                wait_for(
                    lambda: all(
                        client.statuses.count(200) >= count + ANSWERS
                        for client, count in zip(clients, before, strict=True)
                    )
                )
        finally:
            server.send_signal(signal.SIGINT)  # Ray's processes end with it
            server.wait(PATIENCE_S)
    for client in clients:
        assert set(client.statuses) <= {200, 500, 502, 503}
        assert len(client.errors) + sum(status != 200 for status in client.statuses) <= ANSWERS
        question.check(client.bodies)


def _check_rules(address: str) -> None:
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        assert client.get("/readyz").status_code == 200
        refused = client.get("/v1/models")
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        allowed = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/v1/models", headers=allowed).json()["urgency"]
        damaged = client.post("/v1/calls", headers=allowed | {"content-type": "audio/wav"}, content=b"noise")
        assert (damaged.status_code, damaged.headers["content-type"]) == (422, "application/problem+json")


def _replicas(pid: int) -> list[psutil.Process]:
    """The processes with the application."""
    return [
        process
        for process in psutil.Process(pid).children(recursive=True)
        if process.name().startswith("ray::ServeRepli")
    ]
