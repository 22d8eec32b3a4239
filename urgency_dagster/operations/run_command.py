"""The `run` command: the jobs of the UI, one after another, until nothing is missing or out of date."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import dagster as dg
from filelock import Timeout

from urgency_dagster.errors import BusyError
from urgency_dagster.operations.catalogue import Catalogue
from urgency_dagster.operations.console import SESSION_TAG, Echo, printed_events
from urgency_dagster.operations.groups import GROUPS, GROUPS_OF_JOB
from urgency_dagster.operations.history import report_history
from urgency_dagster.operations.instance import IN_PROGRESS, release_orphans, run_lock
from urgency_dagster.operations.interrupts import recorded_interrupts
from urgency_dagster.operations.landing_events import landing_evaluation, landing_problems
from urgency_dagster.operations.own_runs import execute_own_run
from urgency_dagster.operations.placement import check_ray_cluster
from urgency_dagster.operations.planning import PlannedRun, Planner
from urgency_dagster.operations.preloading import has_heavy_step, start_step_server
from urgency_dagster.operations.processes import process_tags
from urgency_dagster.paths import StoragePaths, shown
from urgency_dagster.settings import Settings

Jobs = Mapping[str, Callable[[], dg.JobDefinition]]

QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

OWN_JOBS = (*GROUPS_OF_JOB, "__ASSET_JOB")
"""The jobs of this code location. The last one runs assets that a user materializes in the UI."""


def run_all(settings: Settings, groups: Sequence[str], catalogue: Catalogue, jobs: Jobs, echo: Echo) -> bool:
    """Makes every asset of some groups that is missing or out of date.

    Args:
        settings: the storage root and the models.
        groups: some of `groups.GROUPS`.
        catalogue: the assets that a run can make.
        jobs: the job of each group, as a module-level function that step processes can import.
        echo: prints one line.

    Returns:
        Whether every run succeeded.

    Raises:
        BusyError: another run of this storage root is in progress.
        SettingsError: the Ray cluster cannot run the steps, or `run_config.yaml` is invalid.
    """
    planner = Planner(StoragePaths(settings.storage), settings.pretrained, catalogue)
    if settings.executor == "ray":
        check_ray_cluster()
    with dg.DagsterInstance.get() as instance, _exclusive(instance, echo):
        _report_landing(instance, planner, echo)
        chosen = [group for group in GROUPS if group in groups]
        runs = (run for group in chosen for run in planner.planned_runs(group))
        outcomes = [_execute(instance, run, jobs, echo) for run in _with_step_server(runs, chosen)]
    if "scoring" in chosen and (waiting := planner.unscored()):
        echo(f"not scored: {waiting} in {shown(planner.paths.landing_scoring)}; no urgency model is trained yet")
    if not outcomes:
        echo("nothing to do: everything is up to date")
    return all(outcomes)


def _with_step_server(runs: Iterable[PlannedRun], groups: Sequence[str]) -> Iterator[PlannedRun]:
    """Yields the runs. A heavy first one starts the process that all steps are forked from."""
    for number, run in enumerate(runs):
        if number == 0 and has_heavy_step(run.assets):
            start_step_server(groups[groups.index(run.group) :])
        yield run


@contextmanager
def _exclusive(instance: dg.DagsterInstance, echo: Echo) -> Iterator[None]:
    """Locks the storage root for one `run` command, because two commands would write the same files."""
    home = Path(instance.root_directory)
    orphans = release_orphans(instance)
    if orphans:
        echo(f"{orphans} interrupted runs were marked as failed")
    try:
        with run_lock(home):
            runs = instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))
            own_runs = [run for run in runs if run.job_name in OWN_JOBS]
            if own_runs:
                raise BusyError(f"{len(own_runs)} runs are in progress", "none", "wait, or cancel them in the UI")
            yield
    except Timeout as error:
        raise BusyError("another `urgency-dagster run` is using this storage root", "none", "wait for it") from error


def _report_landing(instance: dg.DagsterInstance, planner: Planner, echo: Echo) -> None:
    """Reports what is on disk to Dagster, and prints the unusable files."""
    for check, problems in landing_problems(planner.landed).items():
        for file, problem in problems.items():
            echo(f"not used: {file}: {problem}")
        for event in landing_evaluation(instance, check, problems):
            instance.report_runless_asset_event(event)
    for sentence in planner.kept_without_source():
        echo(f"not made again: {sentence}")
    if reported := report_history(instance, planner.landed):
        echo(f"{reported} artefacts on disk were new to the run history")


def _execute(instance: dg.DagsterInstance, run: PlannedRun, jobs: Jobs, echo: Echo) -> bool:
    """Runs one job and prints its lines.

    Returns:
        Whether the run succeeded.

    Raises:
        KeyboardInterrupt: the process received Ctrl-C or SIGTERM during the run.
    """
    echo(f"{run.group} {run.partition or ''}".rstrip())
    session = str(uuid4())
    tags = {**run.tags, SESSION_TAG: session, **process_tags()}
    if run.partition:
        tags["dagster/partition"] = run.partition
    with printed_events(instance, session, echo), recorded_interrupts() as received:
        config = {**run.config, **QUIET_CONSOLE}
        succeeded = execute_own_run(instance, run, jobs[run.group], config, tags)
    if received:
        raise KeyboardInterrupt
    return succeeded
