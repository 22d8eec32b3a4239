"""The `run` command in a process group of its own, to be killed whole, and what it left."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.defs.conftest import COMMAND, environment

PATIENCE_S = 120.0


@contextmanager
def running(root: Path, group: str = "calls", **output: Any) -> Iterator[subprocess.Popen]:
    """A `run` command for one group, quiet by default; whatever is left of its processes at the end is killed."""
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **output}
    command = [str(COMMAND), "run", "--only", group]
    with subprocess.Popen(command, env=environment(root), start_new_session=True, **output) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # nothing is left
                os.killpg(process.pid, signal.SIGKILL)


def wait(process: subprocess.Popen, wanted: Callable[[], bool]) -> float:
    """Waits until something holds while the command is at work, and returns the time."""
    deadline = time.monotonic() + PATIENCE_S
    while not wanted():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    return time.monotonic()


def made(paths: StoragePaths, archive: str) -> dict[str, bytes]:
    """Every file that the archive has, hidden and temporary ones included."""
    folder = paths.archive(archive).folder
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
