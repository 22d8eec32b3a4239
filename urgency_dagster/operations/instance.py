"""The Dagster instance of a storage root: its home, its configuration, and the runs of dead processes."""

import json
import os
import socket
from pathlib import Path

import dagster as dg
import psutil
import yaml
from filelock import FileLock, Timeout

from urgency_dagster.operations.environment import prepare_process
from urgency_dagster.operations.placement import GPU_POOL, MAX_GPU_STEPS
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json, write_json, write_text

PROCESS_TAG = "urgency/process"
"""Run tag: the identity of the `run` command's process. See `process_identity`."""

LOCATION_TAG = "dagster/code_location"
"""Run tag of Dagster: the code location. Runs of the UI and the daemon have it."""

SERVER_FILE = "server.json"
"""File in Dagster's home: the identity of the UI server that `make dev` started last."""

MAX_CONCURRENT_RUNS = 2
"""Maximum runs at the same time that the UI and the sensor start."""

DAGSTER_YAML = {
    "telemetry": {"enabled": False},
    "python_logs": {"python_log_level": "INFO"},
    "nux": {"enabled": False},  # no dialog that asks for an e-mail address
    "concurrency": {"pools": {"granularity": "op"}, "runs": {"max_concurrent_runs": MAX_CONCURRENT_RUNS}},
}
"""The configuration of a new Dagster home.

It has no limit of the GPU pool. `release_orphans` sets that limit, also in a home that version 0.1 created.
"""

IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The statuses of runs that have not ended."""


def prepare_environment(settings: Settings) -> None:
    """Sets the environment of this process and its children for one storage root. Creates a missing Dagster home."""
    prepare_process()
    os.environ.update(settings.environment())
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(StoragePaths(settings.storage).dagster_home)))
    home.mkdir(parents=True, exist_ok=True)
    paths = StoragePaths(settings.storage)
    for landing in (paths.landing_calls, paths.attention_pickle.parent):
        landing.mkdir(parents=True, exist_ok=True)  # shows the user where to drop files
    if not (home / "dagster.yaml").exists():
        write_text(home / "dagster.yaml", yaml.safe_dump(DAGSTER_YAML))


def process_identity(process: psutil.Process | None = None) -> str:
    """Host, process id and start time of a process, or of this one. No two processes have the same identity."""
    process = process or psutil.Process()
    return json.dumps([socket.gethostname(), process.pid, round(process.create_time(), 2)])


def is_alive(identity: str) -> bool:
    """Whether a process still runs. A process on another host cannot be checked and counts as running."""
    host, pid, _ = json.loads(identity)
    if host != socket.gethostname():
        return True
    return psutil.pid_exists(pid) and process_identity(psutil.Process(pid)) == identity


def claim_server() -> None:
    """Releases the orphans of earlier processes, and records this process as the UI server."""
    with dg.DagsterInstance.get() as instance:
        home = Path(instance.root_directory)
        release_orphans(instance, home)
    write_json(home / SERVER_FILE, process_identity())


def run_lock(home: Path) -> FileLock:
    """The lock of the `run` command. Acquiring it raises `filelock.Timeout` while another command holds it."""
    return FileLock(home / "run.lock", timeout=0)


def is_locked(home: Path) -> bool:
    """Whether a `run` command is running on this home."""
    try:
        with run_lock(home):
            return False
    except Timeout:
        return True


def release_orphans(instance: dg.DagsterInstance, home: Path) -> int:
    """Marks the runs of dead processes as failed and frees their slots in the GPU pool.

    Without this, a run that was killed together with its server stays open for ever and blocks the GPU pool. The pool
    gets its limit of one step here, unless the user has set a limit.

    Returns:
        The number of runs that were marked as failed.
    """
    storage = instance.event_log_storage
    if GPU_POOL not in storage.get_concurrency_keys():
        storage.set_concurrency_slots(GPU_POOL, MAX_GPU_STEPS)
    orphans = [run for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)) if _is_orphan(run, home)]
    for run in orphans:
        instance.report_run_failed(run, "Its process no longer exists: it was killed, or the machine was restarted.")
    info = storage.get_concurrency_info(GPU_POOL)
    holders = {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}
    for run_id in holders | {run.run_id for run in orphans}:
        holder = instance.get_run_by_id(run_id)
        if holder is None or holder.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
    return len(orphans)


def _is_orphan(run: dg.DagsterRun, home: Path) -> bool:
    """Whether the process of a run is known and dead. Runs of other projects have no known process.

    A run in the queue has no process yet. The next server starts it.
    """
    identity = run.tags.get(PROCESS_TAG)
    server = home / SERVER_FILE
    queued = run.status == dg.DagsterRunStatus.QUEUED
    started_by_server = not queued and run.tags.get(LOCATION_TAG, "").startswith("urgency_dagster")
    if identity is None and started_by_server and server.is_file():
        identity = read_json(server)
    return identity is not None and not is_alive(identity)
