"""The UI and its daemon, started as `make dev` starts them."""

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.operations.groups import GROUPS
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.child_process import PATIENCE_S
from urgency_dagster_tests.defs.conftest import COMMAND, environment


class Server:
    """A UI server as `make dev` starts it, on a free port."""

    def __init__(self, root: Path, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = root / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(COMMAND), "dev", "--port", str(self.port)],
                env=environment(root, **variables),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def wait_for(self, query: str, condition: Any, seconds: float = PATIENCE_S) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            try:
                data = self.ask(query)
                if condition(data):
                    return data
            except (urllib.error.URLError, ConnectionError):
                pass
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.5)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)


RUNS = "{runsOrError{... on Runs{results{jobName status}}}}"
DAEMONS = "{instance{daemonHealth{allDaemonStatuses{daemonType healthy required}}}}"
SENSORS = """{repositoriesOrError{... on RepositoryConnection{nodes{sensors{name sensorState{status}}
              location{name} assetGroups{groupName}}}}}"""


@pytest.mark.slow
def test_the_ui_shows_the_runs_and_starts_new_ones(finished_root: Path, audit: dict[str, str], tmp_path: Path) -> None:
    StoragePaths(finished_root).archive("V_광주_구급").processed_csv.unlink()
    StoragePaths(finished_root).urgency.checkpoint.unlink()
    connections = tmp_path / "connections.txt"
    server = Server(finished_root, **{**audit, "AUDIT_FILE": str(connections)})
    try:
        location = server.wait_for(SENSORS, lambda data: data["repositoriesOrError"].get("nodes"))
        repository = location["repositoriesOrError"]["nodes"][0]
        assert repository["location"]["name"] == "urgency_dagster"
        assert {group["groupName"] for group in repository["assetGroups"]} == {*GROUPS}
        assert repository["sensors"] == [{"name": "landing_sensor", "sensorState": {"status": "RUNNING"}}]
        runs = server.ask(RUNS)["runsOrError"]["results"]
        assert sorted(run["jobName"] for run in runs) == ["attention_job", *["calls_job"] * 3, "urgency_job"]
        server.wait_for(DAEMONS, _sensor_daemon_is_healthy)
        # The sensor sees that files are gone. The training waits for the archive.
        data = server.wait_for(RUNS, lambda data: len(data["runsOrError"]["results"]) == 7, seconds=150)
        newest = [run["jobName"] for run in data["runsOrError"]["results"][:2]]
        assert newest == ["urgency_job", "calls_job"]
    finally:
        assert server.stop() in (0, -signal.SIGTERM, 1), server.log.read_text()[-2000:]
    assert not _listens(server.port)
    assert not connections.exists(), connections.read_text()


def _sensor_daemon_is_healthy(data: Any) -> bool:
    statuses = {item["daemonType"]: item for item in data["instance"]["daemonHealth"]["allDaemonStatuses"]}
    return bool(statuses["SENSOR"]["healthy"])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
