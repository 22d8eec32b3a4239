"""`dev` keeps its three processes alive, is alone on its storage root, and leaves nothing behind."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from urgency_dagster.operations.dev_server import SERVER_FILE
from urgency_dagster.operations.processes import local_process
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.child_process import PATIENCE_S, child_process
from urgency_dagster_tests.defs.conftest import COMMAND, environment
from urgency_dagster_tests.defs.test_server import Server

TICK = """{sensorOrError(sensorSelector: {repositoryName: "__repository__", repositoryLocationName: "urgency_dagster",
           sensorName: "landing_sensor"}){... on Sensor{sensorState{ticks(limit: 1){timestamp status}}}}}"""

LAUNCHPAD = """{runConfigSchemaOrError(selector: {repositoryName: "__repository__",
                repositoryLocationName: "urgency_dagster", pipelineName: "attention_job"}){
                ... on RunConfigSchema{rootDefaultYaml}}}"""


def processes(root: Path) -> list[psutil.Process]:
    """Code server, web server and daemon."""
    recorded = json.loads((StoragePaths(root).dagster_home / SERVER_FILE).read_text())
    found = [local_process(identity) for identity in recorded["processes"]]
    return [process for process in found if process]


def wait_for_tick(server: Server, since: float) -> None:
    """Waits for a tick that began after `since` and did not fail."""

    def ticked(data: Any) -> bool:
        ticks = data["sensorOrError"].get("sensorState", {"ticks": []})["ticks"]
        return bool(ticks) and ticks[0]["timestamp"] > since and ticks[0]["status"] in ("SKIPPED", "SUCCESS")

    server.wait_for(TICK, ticked, seconds=120)


@pytest.mark.slow
def test_dev_survives_its_processes_and_is_alone_on_its_root(storage_root: Path) -> None:
    shutil.rmtree(storage_root / "landing")  # no run: only the processes matter here
    server = Server(storage_root)
    try:
        wait_for_tick(server, 0)
        second = subprocess.run(
            [COMMAND, "dev", "--port", "0"], env=environment(storage_root), capture_output=True, text=True
        )
        assert second.returncode == 1
        assert f"another `dev` serves this storage root on http://127.0.0.1:{server.port}" in second.stderr
        for number in range(3):
            killed = time.time()
            processes(storage_root)[number].kill()
            wait_for_tick(server, killed + 2)
            assert len(processes(storage_root)) == 3
        started = processes(storage_root)
    finally:
        assert server.stop() == 0
    assert server.log.read_text().count("was ended by signal 9") == 3
    assert not [process for process in started if process.is_running()]


@pytest.mark.slow
def test_the_launchpad_follows_run_config(storage_root: Path) -> None:
    shutil.rmtree(storage_root / "landing")
    run_config = StoragePaths(storage_root).run_config
    run_config.write_text("attention_cv: {n_splits: 3}")

    def shows(splits: int) -> Callable[[Any], bool]:
        return lambda data: f"n_splits: {splits}\n" in data["runConfigSchemaOrError"].get("rootDefaultYaml", "")

    server = Server(storage_root)
    try:
        server.wait_for(LAUNCHPAD, shows(3))
        run_config.write_text("attention_cv: {n_splits: 4}")
        server.wait_for(LAUNCHPAD, shows(4))
        run_config.write_text("attention_cv: {n_splits: many}")
        server.wait_for(LAUNCHPAD, shows(5))
    finally:
        assert server.stop() == 0
    assert "was ended by signal" not in server.log.read_text()


@pytest.mark.slow
def test_sigint_ends_dev_although_the_shell_ignores_it(storage_root: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [str(COMMAND), "dev", "--port", "0"]
    log = storage_root / "dev.log"
    with (
        log.open("w") as output,
        child_process(command, env=environment(storage_root), stdout=output, stderr=output) as dev,
    ):
        signal.signal(signal.SIGINT, before)
        deadline = time.monotonic() + 120
        while not _recorded(storage_root):
            assert dev.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        started = processes(storage_root)
        dev.send_signal(signal.SIGINT)
        assert dev.wait(timeout=PATIENCE_S) == 0
    assert not [process for process in started if process.is_running()]


def _recorded(root: Path) -> bool:
    """Whether `dev` has written down its processes."""
    file = StoragePaths(root).dagster_home / SERVER_FILE
    return file.exists() and bool(json.loads(file.read_text()).get("processes"))
