"""The `run` command in a process group of its own, to be killed whole, and what it left."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.child_process import PATIENCE_S
from urgency_dagster_tests.defs.conftest import COMMAND, environment


class Pollable(Protocol):
    """A process that can be asked whether it has ended."""

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""


@contextmanager
def running(root: Path, group: str = "calls", **output: Any) -> Iterator[subprocess.Popen[str]]:
    """A `run` command for one group, quiet by default; its processes are killed at the end of the block."""
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **output}
    command = [str(COMMAND), "run", "--only", group]
    with subprocess.Popen(command, env=environment(root), start_new_session=True, **output) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # the group has ended
                os.killpg(process.pid, signal.SIGKILL)


def wait(process: Pollable, condition: Callable[[], bool]) -> float:
    """Waits until a condition holds while the command runs; returns the time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return time.monotonic()


def archive_files(paths: StoragePaths, archive: str) -> dict[str, bytes]:
    """The content of every file of an archive, hidden and temporary files included."""
    folder = paths.archive(archive).folder
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
