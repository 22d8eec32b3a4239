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

from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.resources import ModelsResource
from urgency_dagster.errors import BusyError
from urgency_dagster.operations.instance import IN_PROGRESS, PROCESS_TAG, process_identity, release_orphans, run_lock
from urgency_dagster.operations.landing_events import landing_events, landing_observation, new_partitions
from urgency_dagster.operations.placement import check_ray_cluster
from urgency_dagster.operations.planning import GROUPS, Planner, Work
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.record import name_of
from urgency_dagster.settings import Settings

Say = Callable[[str], None]
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


def run_all(settings: Settings, groups: Sequence[str], jobs: Jobs, say: Say) -> bool:
    """Makes what is missing or out of date in some groups; returns whether everything succeeded.

    Args:
        settings: the storage root and the models.
        groups: some of `calls`, `urgency`, `attention`.
        jobs: the job of each group, as a module-level function that step processes can find again.
        say: prints one line.

    Raises:
        BusyError: runs of this storage root are in progress already.
        SettingsError: steps are to run on a Ray cluster that cannot run them.
    """
    models = ModelsResource(speech=settings.speech_model, text=settings.text_model)
    planner = Planner(StoragePaths(settings.storage), models)
    if settings.executor == "ray":
        check_ray_cluster()
    with dg.DagsterInstance.get() as instance, _alone(instance, say):
        _tell_dagster(instance, planner, say)
        chosen = [group for group in GROUPS if group in groups]
        outcomes = [_execute(instance, work, jobs, say) for group in chosen for work in _work(planner, group)]
    if not outcomes:
        say("nothing to do: everything is up to date")
    return all(outcomes)


@contextmanager
def _alone(instance: dg.DagsterInstance, say: Say) -> Iterator[None]:
    """Holds the storage root for one `run` command; two at once would write the same files."""
    home = Path(instance.root_directory)
    orphans = release_orphans(instance, home)
    if orphans:
        say(f"{orphans} runs of processes that are gone were marked as failed")
    try:
        with run_lock(home):
            runs = instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))
            ours = [run for run in runs if run.job_name in OWN_JOBS]
            if ours:
                raise BusyError(f"{len(ours)} runs are in progress", "none", "wait for them, or cancel them in the UI")
            yield
    except Timeout as error:
        raise BusyError("another `urgency-dagster run` is at work here", "one at a time", "wait for it") from error


def _tell_dagster(instance: dg.DagsterInstance, planner: Planner, say: Say) -> None:
    """Adds partitions, reports what landed, and says which files cannot be used."""
    for file, problem in planner.landed.calls.problems.items():
        say(f"not used: {file}: {problem}")
    added = new_partitions(instance, planner.archives())
    instance.add_dynamic_partitions(str(call_archives.name), added)
    landed = [*planner.landed.calls.pairs, planner.paths.attention_pickle.name]
    events: list[dg.AssetMaterialization | dg.AssetObservation] = [
        *landing_events(instance, planner.landed, landed),
        *landing_observation(instance, planner.landed.calls.problems),
    ]
    for event in events:
        instance.report_runless_asset_event(event)


def _work(planner: Planner, group: str) -> Iterator[Work]:
    """The runs of a group, planned when the runs before them are done."""
    if group == "calls":
        yield from planner.calls()
    elif work := planner.work(group):
        yield work


def _execute(instance: dg.DagsterInstance, work: Work, jobs: Jobs, say: Say) -> bool:
    say(f"{work.group} {work.partition or ''}".rstrip())
    session = str(uuid4())
    tags = {**work.tags, SESSION_TAG: session, PROCESS_TAG: process_identity()}
    if work.partition:
        tags["dagster/partition"] = work.partition
    with _followed(instance, session, say), interrupts() as heard:
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
    """Listens for Ctrl-C and SIGTERM; the list holds the signals that came when the block is over.

    Dagster's own handlers end the run. What it then reports depends on the moment: a step that was still starting has
    crashed, and a signal after the last step is not reported at all.
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
def _followed(instance: dg.DagsterInstance, session: str, say: Say) -> Iterator[None]:
    """Says one line per asset while the run goes on."""
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(instance, session, say, ended), daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(instance: dg.DagsterInstance, session: str, say: Say, ended: threading.Event) -> None:
    told = 0
    started: dict[str | None, float] = {}
    while True:
        last_look = ended.is_set()
        runs = instance.get_runs(dg.RunsFilter(tags={SESSION_TAG: session}), limit=1)
        events = list(instance.all_logs(runs[0].run_id, of_type=FOLLOWED)) if runs else []
        for entry in events[told:]:
            line = _line(entry, started)
            if line:
                say(line)
        told = len(events)
        if last_look:
            return
        time.sleep(POLL_S)


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
