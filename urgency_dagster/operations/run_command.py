"""The `run` command: the same jobs as in the UI, one after another, until nothing is missing or out of date."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from filelock import Timeout

from urgency_dagster.errors import BusyError
from urgency_dagster.operations.catalogue import GROUPS, Catalogue
from urgency_dagster.operations.instance import IN_PROGRESS, PROCESS_TAG, process_identity, release_orphans, run_lock
from urgency_dagster.operations.landing_events import landing_events, landing_observation, new_partitions
from urgency_dagster.operations.placement import check_ray_cluster
from urgency_dagster.operations.planning import Planner, Work
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import CALL_ARCHIVES, name_of
from urgency_dagster.settings import Settings

Echo = Callable[[str], None]
Jobs = Mapping[str, Callable[[], dg.JobDefinition]]

SESSION_TAG = "urgency/session"
QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FOLLOWED = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}
OWN_JOBS = (*(f"{group}_job" for group in GROUPS), "__ASSET_JOB")
"""The jobs of this code location; the last is that of assets that are materialised by hand."""

POLL_S = 0.3


def run_all(settings: Settings, groups: Sequence[str], catalogue: Catalogue, jobs: Jobs, echo: Echo) -> bool:
    """Makes everything in some groups that is missing or out of date.

    Args:
        settings: the storage root and the models.
        groups: some of `calls`, `urgency`, `attention`.
        catalogue: the assets that a run can make.
        jobs: the job of each group, as a module-level function that step processes can import.
        echo: prints one line.

    Returns:
        Whether every run succeeded.

    Raises:
        BusyError: another run of this storage root is in progress.
        SettingsError: the Ray cluster cannot run the steps, or `run_config.yaml` cannot be used.
    """
    planner = Planner(StoragePaths(settings.storage), settings.pretrained, catalogue)
    if settings.executor == "ray":
        check_ray_cluster()
    with dg.DagsterInstance.get() as instance, _alone(instance, echo):
        _tell_dagster(instance, planner, echo)
        chosen = [group for group in GROUPS if group in groups]
        outcomes = [_execute(instance, work, jobs, echo) for group in chosen for work in _work(planner, group)]
    if not outcomes:
        echo("nothing to do: everything is up to date")
    return all(outcomes)


@contextmanager
def _alone(instance: dg.DagsterInstance, echo: Echo) -> Iterator[None]:
    """Locks the storage root for one `run` command; two commands would write the same files."""
    home = Path(instance.root_directory)
    orphans = release_orphans(instance, home)
    if orphans:
        echo(f"{orphans} runs of processes that are gone were marked as failed")
    try:
        with run_lock(home):
            runs = instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))
            ours = [run for run in runs if run.job_name in OWN_JOBS]
            if ours:
                raise BusyError(f"{len(ours)} runs are in progress", "none", "wait for them, or cancel them in the UI")
            yield
    except Timeout as error:
        raise BusyError("another `urgency-dagster run` is at work here", "one at a time", "wait for it") from error


def _tell_dagster(instance: dg.DagsterInstance, planner: Planner, echo: Echo) -> None:
    """Adds partitions, reports landed files to Dagster, and prints the unusable files."""
    for file, problem in planner.landed.calls.problems.items():
        echo(f"not used: {file}: {problem}")
    added = new_partitions(instance, planner.archives())
    instance.add_dynamic_partitions(CALL_ARCHIVES, added)
    landed = [*planner.landed.calls.pairs, planner.paths.attention_pickle.name]
    events: list[dg.AssetMaterialization | dg.AssetObservation] = [
        *landing_events(instance, planner.landed, landed),
        *landing_observation(instance, planner.landed.calls.problems),
    ]
    for event in events:
        instance.report_runless_asset_event(event)


def _work(planner: Planner, group: str) -> Iterator[Work]:
    """The runs of a group. Each is planned after the run before it."""
    if group == "calls":
        yield from planner.calls()
    elif work := planner.work(group):
        yield work


def _execute(instance: dg.DagsterInstance, work: Work, jobs: Jobs, echo: Echo) -> bool:
    echo(f"{work.group} {work.partition or ''}".rstrip())
    session = str(uuid4())
    tags = {**work.tags, SESSION_TAG: session, PROCESS_TAG: process_identity()}
    if work.partition:
        tags["dagster/partition"] = work.partition
    with _followed(instance, session, echo), interrupts() as heard:
        result = dg.execute_job(
            dg.reconstructable(jobs[work.group]),
            instance=instance,
            run_config={**work.config, **QUIET_CONSOLE},
            tags=tags,
            asset_selection=work.assets,
        )
    if heard:
        raise KeyboardInterrupt
    return result.success


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Records Ctrl-C and SIGTERM. After the block, the list holds the received signals.

    Dagster's own handlers end the run, but its report depends on the moment: a step that was starting counts as
    crashed, and a signal after the last step is not reported.
    """
    received: list[int] = []
    reader, writer = socket.socketpair()
    with reader:
        with writer:
            writer.setblocking(False)  # Python asks for it
            before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            try:
                yield received
            finally:
                signal.set_wakeup_fd(before)
        received.extend(reader.recv(signal.NSIG))


def _error(event: dg.DagsterEvent) -> Any:
    """The error of a failed step or run, or None when the run failed because of a step."""
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        return event.step_failure_data.error
    failure = event.job_failure_data
    return None if failure.first_step_failure_event else failure.error


@contextmanager
def _followed(instance: dg.DagsterInstance, session: str, echo: Echo) -> Iterator[None]:
    """Prints one line per asset during the run."""
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(instance, session, echo, ended), daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(instance: dg.DagsterInstance, session: str, echo: Echo, ended: threading.Event) -> None:
    started: dict[str | None, float] = {}
    cursor: str | None = None
    while True:
        last_turn = ended.is_set()
        run_id = _run_of(instance, session)
        if run_id:
            events = instance.get_records_for_run(run_id, cursor=cursor, of_type=FOLLOWED)
            cursor = events.cursor
            for line in filter(None, (_line(record.event_log_entry, started) for record in events.records)):
                echo(line)
        if last_turn:
            return
        time.sleep(POLL_S)


def _run_of(instance: dg.DagsterInstance, session: str) -> str | None:
    runs = instance.get_runs(dg.RunsFilter(tags={SESSION_TAG: session}), limit=1)
    return runs[0].run_id if runs else None


def _line(entry: dg.EventLogEntry, started: dict[str | None, float]) -> str | None:
    """One line for an asset, a failed check or a failed step."""
    event = entry.get_dagster_event()
    kind = event.event_type
    if kind == dg.DagsterEventType.STEP_START:
        started[event.step_key] = entry.timestamp
        return None
    if kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
        seconds = entry.timestamp - started.get(event.step_key, entry.timestamp)
        materialization = event.step_materialization_data.materialization
        return (
            f"  done    {name_of(materialization.asset_key):28} {seconds:6.1f} s  {_figures(materialization.metadata)}"
        )
    if kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return (
            None
            if check.passed
            else f"  {check.severity.value:7} check {check.check_name} of {name_of(check.asset_key)}"
        )
    error = _error(event)
    return f"  FAILED  {event.step_key or entry.job_name:28} {_cause(error)}" if error else None


def _figures(metadata: Mapping[str, Any]) -> str:
    """The plain numbers of an asset's metadata, few enough for one line."""
    numbers = {name: item.value for name, item in metadata.items() if isinstance(item.value, int | float)}
    shown = [
        f"{name.removeprefix('dagster/')}={value:.4g}"
        if isinstance(value, float)
        else f"{name.removeprefix('dagster/')}={value}"
        for name, value in numbers.items()
    ]
    return " ".join(shown[:5])


def _cause(error: Any) -> str:
    """The message of the exception that the step raised, without its traceback."""
    cause = error.cause or error
    return " ".join(cause.message.split())
