"""The Dagster instance of a storage root: its home, its configuration, and the runs of dead processes."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from filelock import FileLock, Timeout

from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.environment import prepare_process
from urgency_dagster.operations.gpus import gpu_limit
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.operations.processes import is_alive, process_of
from urgency_dagster.operations.run_launcher import KILLED, START_TIMEOUT_S, UrgencyRunLauncher
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.writing import write_text

WRITTEN = re.compile(r"# Written for (\d+) GPUs\. ")
"""How the configuration begins that `dagster_yaml` makes."""

FORMER_PROCESS_TAG = "urgency/process"
"""The name of `PROCESS_TAG` in earlier versions. Their killed runs may still be open."""

FORMER_YAML: dict[str, Any] = {
    "telemetry": {"enabled": False},
    "python_logs": {"python_log_level": "INFO"},
    "nux": {"enabled": False},  # no dialog that asks for an e-mail address
    "concurrency": {"pools": {"granularity": "op"}, "runs": {"max_concurrent_runs": 2}},
}
"""The configuration that earlier versions wrote into a new Dagster home. It is renewed where nobody changed it."""

OWN_YAML = {
    **FORMER_YAML,
    "run_launcher": {"module": UrgencyRunLauncher.__module__, "class": UrgencyRunLauncher.__name__},
    "run_monitoring": {
        "enabled": True,
        "poll_interval_seconds": 10,
        "free_slots_after_run_end_seconds": 5,
        "start_timeout_seconds": START_TIMEOUT_S,
    },
    "run_retries": {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False},
}
"""The configuration of a new Dagster home on a machine with one GPU or none.

It has no limit of the GPU pool. Each run sets that limit when it starts: see `gpus.follow_gpus`.
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
    _write_configuration(home / "dagster.yaml", settings)


def dagster_yaml(gpus: int) -> str:
    """The text of the configuration. As many runs work at once as there are GPUs, and one more, which feeds them."""
    concurrency = {**OWN_YAML["concurrency"], "runs": {"max_concurrent_runs": gpus + 1}}
    return f"# Written for {gpus} GPUs. If you change this file, it stays as it is.\n" + yaml.safe_dump(
        {**OWN_YAML, "concurrency": concurrency}
    )


def _write_configuration(file: Path, settings: Settings) -> None:
    """Writes the configuration of a new home, and renews it while nobody changes it."""
    present = file.read_text(encoding="utf-8") if file.exists() else None
    written = WRITTEN.match(present or "")
    before = int(written[1]) if written else 1
    if present not in (None, yaml.safe_dump(FORMER_YAML), yaml.safe_dump(OWN_YAML), dagster_yaml(before)):
        return
    gpus = before
    with suppress(SettingsError):  # without an answer of the Ray cluster, the number stays
        gpus = gpu_limit(settings)
    if present != dagster_yaml(gpus):
        write_text(file, dagster_yaml(gpus))


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


def release_orphans(instance: dg.DagsterInstance) -> int:
    """Marks the runs of dead processes as failed and frees their slots in the GPU pool.

    Without this, a run that was killed together with its server stays open for ever and blocks the GPU pool.

    Returns:
        The number of runs that were marked as failed.
    """
    storage = instance.event_log_storage
    found = [run for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)) if _is_orphan(run)]
    orphans = [run for run in found if report_killed(instance, run, KILLED)]
    info = storage.get_concurrency_info(GPU_POOL)
    holders = {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}
    for run_id in holders | {run.run_id for run in orphans}:
        holder = instance.get_run_by_id(run_id)
        if holder is None or holder.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
    return len(orphans)


def report_killed(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> bool:
    """Marks a run whose process is gone as failed, unless the run had ended before its process did.

    Returns:
        Whether the run was marked.
    """
    latest = instance.get_run_by_id(run.run_id)
    if latest is None or latest.is_finished:
        return False
    instance.report_run_failed(latest, reason)
    return True


def _is_orphan(run: dg.DagsterRun) -> bool:
    """Whether the process of a run is known and dead.

    A run in the queue has no process yet. Without a known process, Dagster's run monitoring ends a run that does not
    start within `START_TIMEOUT_S`.
    """
    identity = process_of(run) or run.tags.get(FORMER_PROCESS_TAG)
    return run.status != dg.DagsterRunStatus.QUEUED and identity is not None and not is_alive(identity)
