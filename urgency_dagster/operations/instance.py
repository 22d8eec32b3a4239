"""The Dagster instance of a storage root: its home, its quiet configuration, and what a dead process left behind."""

import json
import os
import socket
from pathlib import Path

import dagster as dg
import psutil
import yaml
from filelock import FileLock, Timeout

from urgency_dagster.operations.environment import prepare_process
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json, write_json, write_text

PROCESS_TAG = "urgency/process"
"""Run tag: host, process id and start time of the `run` command that drives the run."""

LOCATION_TAG = "dagster/code_location"
"""Run tag that Dagster's servers set."""

SERVER_FILE = "server.json"
"""In Dagster's home: the identity of the UI server that `make dev` started last."""

CONFIGURATION = {
    "telemetry": {"enabled": False},
    "python_logs": {"python_log_level": "INFO"},
    "nux": {"enabled": False},  # no dialog that asks for an address
    "concurrency": {"pools": {"granularity": "op"}, "runs": {"max_concurrent_runs": 2}},
}

IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of runs that have not ended."""


def prepare_environment(settings: Settings) -> None:
    """Makes this process and its children work on one storage root; creates its Dagster home when there is none."""
    prepare_process()
    os.environ.update(settings.environment())
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(StoragePaths(settings.storage).dagster_home)))
    home.mkdir(parents=True, exist_ok=True)
    paths = StoragePaths(settings.storage)
    for landing in (paths.landing_calls, paths.attention_pickle.parent):
        landing.mkdir(parents=True, exist_ok=True)  # so that everybody sees where to drop files
    if not (home / "dagster.yaml").exists():
        write_text(home / "dagster.yaml", yaml.safe_dump(CONFIGURATION))


def process_identity(process: psutil.Process | None = None) -> str:
    """Host, process id and start time: the same text never names two processes."""
    one = process or psutil.Process()
    return json.dumps([socket.gethostname(), one.pid, round(one.create_time(), 2)])


def is_alive(identity: str) -> bool:
    """Whether the process still runs; one on another host is taken to."""
    host, pid, _ = json.loads(identity)
    if host != socket.gethostname():
        return True
    return psutil.pid_exists(pid) and process_identity(psutil.Process(pid)) == identity


def claim_server() -> None:
    """Notes this process as the UI's server, so that its runs are not taken for orphans, and releases older ones."""
    with dg.DagsterInstance.get() as instance:
        home = Path(instance.root_directory)
        release_orphans(instance, home)
    write_json(home / SERVER_FILE, process_identity())


def run_lock(home: Path) -> FileLock:
    """What a `run` command holds while it is at work; taking it raises `filelock.Timeout` when another one does."""
    return FileLock(home / "run.lock", timeout=0)


def is_locked(home: Path) -> bool:
    """Whether a `run` command is at work on this home."""
    try:
        with run_lock(home):
            return False
    except Timeout:
        return True


def release_orphans(instance: dg.DagsterInstance, home: Path) -> int:
    """Fails the runs whose process is gone and frees their places in the pools; returns how many there were.

    A run that was killed together with everything else would otherwise stay open for ever and block the GPU pool.
    """
    storage = instance.event_log_storage
    if GPU_POOL not in storage.get_concurrency_keys():
        storage.set_concurrency_slots(GPU_POOL, 1)
    orphans = [run for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)) if _is_orphan(run, home)]
    for run in orphans:
        instance.report_run_failed(run, "Its process is gone (killed, or the machine was restarted).")
    info = storage.get_concurrency_info(GPU_POOL)
    holders = {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}
    for run_id in holders | {run.run_id for run in orphans}:
        holder = instance.get_run_by_id(run_id)
        if holder is None or holder.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
    return len(orphans)


def _is_orphan(run: dg.DagsterRun, home: Path) -> bool:
    """Whether the process that drives the run is known and gone; runs of other projects and servers are left alone.

    Runs that wait in the queue have no process yet: the next server takes them up.
    """
    identity = run.tags.get(PROCESS_TAG)
    server = home / SERVER_FILE
    queued = run.status == dg.DagsterRunStatus.QUEUED
    of_server = not queued and run.tags.get(LOCATION_TAG, "").startswith("urgency_dagster")
    if identity is None and of_server and server.is_file():
        identity = read_json(server)
    return identity is not None and not is_alive(identity)
