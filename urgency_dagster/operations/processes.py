"""Identities of processes: which one executes a run, whether it lives, and how a step ends with its run."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dagster as dg
import psutil

PROCESS_TAG = ".dagster/urgency_process"
"""Hidden run tag: the process that executes the run. See `process_tags` and `process_of`."""

RUN_PROCESS_VARIABLE = "URGENCY_RUN_PROCESS"
"""Environment variable of a step process: the identity of the process that executes its run."""

LOCAL_INTERVAL_S = 1.0
"""Seconds between two looks at whether a run's process on the same machine is a zombie."""

REMOTE_INTERVAL_S = 10.0
"""Seconds between two questions to Dagster's storage, when the run's process is on another machine."""


def process_identity(process: psutil.Process | None = None) -> str:
    """Host, process id and start time of a process, or of this one. No two processes have the same identity."""
    process = process or psutil.Process()
    return json.dumps([socket.gethostname(), process.pid, round(process.create_time(), 2)])


def process_tags(run_id: str | None = None, process: psutil.Process | None = None) -> dict[str, str]:
    """The tag of a run that a process, or this one, executes. `run_id` is None while the run is not created."""
    return {PROCESS_TAG: json.dumps([process_identity(process), run_id])}


def process_of(run: dg.DagsterRun) -> str | None:
    """The identity of the process that executes a run, or None if it is not known.

    Dagster copies the tags of a run to its re-execution, also this one, which names the former process then.
    """
    if PROCESS_TAG not in run.tags:
        return None
    identity, run_id = json.loads(run.tags[PROCESS_TAG])
    own = run_id == run.run_id or (run_id is None and run.parent_run_id is None)
    return str(identity) if own else None


def name_run_process() -> None:
    """Tells the later child processes that this process executes the run of their steps."""
    os.environ[RUN_PROCESS_VARIABLE] = process_identity()


def is_local(identity: str) -> bool:
    """Whether a process is, or was, on this host."""
    return bool(json.loads(identity)[0] == socket.gethostname())


def is_alive(identity: str) -> bool:
    """Whether a process still runs. A process on another host cannot be checked and counts as running."""
    return not is_local(identity) or local_process(identity) is not None


def local_process(identity: str) -> psutil.Process | None:
    """The living process of this host with an identity. A process that waits for its parent (zombie) is dead."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(json.loads(identity)[1])
        if process_identity(process) == identity and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def memory_kills() -> int:
    """How many processes of this machine were killed for lack of memory since its start (Linux; elsewhere 0)."""
    with suppress(OSError):
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counters.get("oom_kill", 0))
    return 0


def kill_tree(process: psutil.Process) -> None:
    """Kills a process after all its descendants."""
    with suppress(psutil.NoSuchProcess):
        for descendant in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
        process.kill()


def end_with(identity: str, run_is_over: Callable[[], bool]) -> None:
    """Starts a thread that kills this process and its descendants when the process of its run is gone.

    Args:
        identity: The identity of the process that executes the run.
        run_is_over: Asks Dagster's storage. It is called only when that process is on another host.
    """
    if identity != process_identity():
        threading.Thread(target=_watch, args=(identity, run_is_over), daemon=True, name="end-with-run").start()


def _watch(identity: str, run_is_over: Callable[[], bool]) -> None:
    if is_local(identity):
        _wait_for_end(identity)
    else:
        while not run_is_over():
            time.sleep(REMOTE_INTERVAL_S)
    kill_tree(psutil.Process())
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end(identity: str) -> None:
    """Returns when a process of this host is dead. psutil notices the end at once, except that of a zombie."""
    while process := local_process(identity):
        with suppress(psutil.TimeoutExpired):
            process.wait(LOCAL_INTERVAL_S)
