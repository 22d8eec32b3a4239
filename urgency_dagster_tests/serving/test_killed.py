"""A server whose model folder is deleted, and that is killed, while clients ask it: what each client sees."""

import os
import shutil
import signal
import sys

import httpx
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.child_process import PATIENCE_S, child_process
from urgency_dagster_tests.serving.clients import Question, asking, wait_for
from urgency_dagster_tests.serving.own_root import config, own_root

__all__ = ["config", "own_root"]

pytestmark = pytest.mark.slow

ANSWERS = 10
"""Answers of each client between two events."""


def test_clients_of_a_killed_server_see_right_answers_and_then_no_connection(own_root: StoragePaths) -> None:
    question = Question.of(own_root.root)
    command = [sys.executable, "-c", "from urgency_dagster.cli import main; main()", "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "URGENCY_API_TOKEN"}
    with child_process([*command, "--storage", own_root.root], stdout=-1, env=environment) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2].rstrip(";")
        with asking(address, question) as clients:
            wait_for(lambda: all(len(client.statuses) >= ANSWERS for client in clients))
            shutil.rmtree(own_root.urgency.model)
            wait_for(lambda: all(len(client.statuses) >= 2 * ANSWERS for client in clients))
            wait_for(lambda: _model_error(address) == 1)
            after = [len(client.statuses) for client in clients]
            wait_for(lambda: all(len(c.statuses) > before for c, before in zip(clients, after, strict=True)))
            os.kill(server.pid, signal.SIGKILL)
            wait_for(lambda: all(client.errors for client in clients))
    for client in clients:
        assert set(client.statuses) == {200}
        assert set(client.errors) <= {"ReadError", "RemoteProtocolError", "ConnectError", "WriteError"}
        question.check(client.bodies)


def _model_error(address: str) -> float:
    """Whether the server says that what lies in storage does not answer."""
    lines = httpx.get(f"{address}/metrics", timeout=PATIENCE_S).text.splitlines()
    (line,) = [line for line in lines if line.startswith('urgency_dagster_model_error{model="urgency"}')]
    return float(line.rpartition(" ")[2])
