"""The `dev` command: code server, web server and daemon, each started again when it dies.

One `dev` works on a Dagster home. When it stops, everything that it started ends.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import dagster as dg
import psutil
import yaml
from dagster._core.storage.tags import GRPC_INFO_TAG
from filelock import FileLock, Timeout

from urgency_dagster.errors import BusyError
from urgency_dagster.operations.console import Echo
from urgency_dagster.operations.history import report_history
from urgency_dagster.operations.instance import IN_PROGRESS, release_orphans, report_killed
from urgency_dagster.operations.processes import kill_tree, local_process, process_identity, process_of
from urgency_dagster.operations.service import Service
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.settings import UI_ADDRESS
from urgency_dagster.writing import read_json, write_json

MODULE, LOCATION = "urgency_dagster.definitions", "urgency_dagster"

SERVER_FILE = "server.json"
"""File in Dagster's home: the address of the UI, and the identities of the processes of `dev`."""

TICK_S = 0.5
"""Seconds between two looks at the processes."""

END_S = 8.0
"""Maximum seconds that web server, daemon and code server have to end by themselves."""

STOPPED = "The `dev` command was stopped, and with it this run. The next `dev` repeats it."
"""Why a run is marked as failed when `dev` stops."""


def serve(paths: StoragePaths, port: str, echo: Echo) -> None:
    """Serves the UI of the Dagster home in DAGSTER_HOME until SIGINT or SIGTERM arrives.

    Args:
        paths: the storage root. What is on disk and new to the run history is reported first.
        port: the port of the UI.
        echo: prints one line.

    Raises:
        BusyError: another `dev` works on the same home.
        ServiceError: one of the processes fails again and again right after its start.
    """
    with dg.DagsterInstance.get() as instance:
        home = Path(instance.root_directory)
        with _exclusive(home, port):
            _end_leftovers(home)
            release_orphans(instance)
            if reported := report_history(instance, LandedContent(paths)):
                echo(f"{reported} artefacts on disk were new to the run history")
            _serve(instance, home, port, paths.run_config, echo)


def _serve(instance: dg.DagsterInstance, home: Path, port: str, run_config: Path, echo: Echo) -> None:
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_signals())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="urgency-")))  # readable by its owner only
        socket_file = folder / "code.sock"
        services = _services(home, socket_file, port)
        code_server, *clients = services
        code_server.reads = run_config
        stack.callback(_end, [code_server])
        stack.callback(end_runs, instance)
        stack.callback(_end, clients)  # first, so that the daemon does not repeat the runs that end now
        while not stop:
            # A daemon that starts before the code server gives up the repetition of killed runs.
            started = [service.keep(echo) for service in services if service is code_server or _listens(socket_file)]
            if any(started):
                _record(home, port, services)
                release_orphans(instance)  # a run that starts and dies with its code server is seen by nobody else
            time.sleep(TICK_S)


def _services(home: Path, socket_file: Path, port: str) -> list[Service]:
    """The three processes. A socket file, not a port, so that other users cannot send code to the server."""
    entry = {"grpc_server": {"socket": str(socket_file), "location_name": LOCATION}}
    workspace = home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [entry]}), encoding="utf-8")
    code = ["dagster", "api", "grpc", "-m", MODULE, "--socket", str(socket_file), "--location-name", LOCATION]
    web = ["dagster_webserver", "-h", UI_ADDRESS, "-p", port, "-w", str(workspace)]
    daemon = ["dagster._daemon", "run", "-w", str(workspace)]
    commands = {"code server": [*code, "--use-python-environment-entry-point"], "web server": web, "daemon": daemon}
    return [Service(name, [sys.executable, "-m", *command], home) for name, command in commands.items()]


def _listens(socket_file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_file)) == 0


@contextmanager
def _exclusive(home: Path, port: str) -> Iterator[None]:
    try:
        with FileLock(home / "dev.lock", timeout=0):
            write_json(home / SERVER_FILE, {**_recorded(home), "ui": f"http://{UI_ADDRESS}:{port}"})
            yield
    except Timeout as error:
        address = _recorded(home).get("ui", "another address")
        received = f"another `dev` serves this storage root on {address}"
        raise BusyError(received, "one for each root", "open that address, or stop that `dev`") from error


def _recorded(home: Path) -> dict[str, Any]:
    """What the last `dev` wrote. Earlier versions wrote one identity."""
    file = home / SERVER_FILE
    recorded = read_json(file) if file.is_file() else {}
    return recorded if isinstance(recorded, dict) else {}


def _record(home: Path, port: str, services: list[Service]) -> None:
    identities = []
    for service in services:
        with suppress(psutil.NoSuchProcess):
            if service.process:
                identities.append(process_identity(psutil.Process(service.process.pid)))
    write_json(home / SERVER_FILE, {"ui": f"http://{UI_ADDRESS}:{port}", "processes": identities})


def _end_leftovers(home: Path) -> None:
    """Ends web server, daemon and code server of a `dev` that was killed. Their runs live on."""
    identities = _recorded(home).get("processes", [])
    for process in filter(None, map(local_process, identities)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _end(services: list[Service]) -> None:
    """Ends the processes: politely first, then with their descendants."""
    running = [service.process for service in services if service.process and service.process.poll() is None]
    families = [psutil.Process(process.pid) for process in running]
    descendants = [child for family in families for child in family.children(recursive=True)]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + END_S
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
    for family in [*families, *descendants]:
        kill_tree(family)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that a SIGINT or SIGTERM makes longer. A shell starts `dev &` with SIGINT ignored; this undoes it."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_runs(instance: dg.DagsterInstance) -> None:
    """Kills the runs that a code server of this host started, and marks them as failed, so that they are repeated."""
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)):
        identity = process_of(run)
        process = local_process(identity) if identity and GRPC_INFO_TAG in run.tags else None
        if process is not None and process.pid != os.getpid():
            kill_tree(process)
            report_killed(instance, run, STOPPED)
    release_orphans(instance)
