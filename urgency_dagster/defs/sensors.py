"""Runs that start by themselves: new archives, a new attention pickle, and training when its archives are done."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg

from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.jobs import JOBS, calls_job
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.operations.instance import IN_PROGRESS, is_locked
from urgency_dagster.operations.landing_events import landing_events, landing_observation, looks_of, new_partitions
from urgency_dagster.operations.planning import WORK_TAG, Planner, Work

INTERVAL_S = 20

CHANGING = "its size or time changed since the last look; it is taken when it stays as it is"

PROBLEMS_SHOWN = 5
"""Unusable files that the reason of a tick without requests names."""

ATTENTION = "attention.pkl"
PARTITION_TAG = "dagster/partition"


@dg.sensor(
    jobs=JOBS,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sees new or changed archive pairs and attention.pkl in landing/, and requests exactly the work they "
    "need. Training follows when no archive is in work. A run that failed is not requested again by itself: "
    "re-execute it, or use `urgency-dagster run`.",
)
def landing_sensor(
    context: dg.SensorEvaluationContext, storage: StorageResource, models: ModelsResource
) -> dg.SensorResult:
    """Files count once their size and time are the same at two ticks in a row."""
    if is_locked(Path(context.instance.root_directory)):
        return dg.SensorResult(skip_reason="`urgency-dagster run` is at work and makes what is needed")
    planner = Planner(storage.paths, models.names, CATALOGUE)
    looks = looks_of(storage.paths, planner.landed)
    before = json.loads(context.cursor) if context.cursor else {}
    settled = {name for name, look in looks.items() if before.get(name) == look}
    waiting = looks.keys() - settled
    archives = [name for name in planner.archives() if name not in waiting]
    requests = list(_requests(context.instance, planner, archives, settled, waiting - {ATTENTION}))
    landed = list(landing_events(context.instance, planner.landed, sorted(settled)))
    # Only now: a file that changed while it was read above is among them.
    problems = planner.landed.calls.problems | dict.fromkeys(waiting - {ATTENTION}, CHANGING)
    for file, problem in problems.items():
        context.log.warning("not used: %s: %s", file, problem)
    added = new_partitions(context.instance, archives)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _why_nothing(planner.landed.calls.problems, waiting),
        dynamic_partitions_requests=[call_archives.build_add_request(added)] if added else [],
        asset_events=[*landed, *landing_observation(context.instance, problems)],
        cursor=json.dumps(looks, sort_keys=True, ensure_ascii=False),
    )


def _why_nothing(problems: Mapping[str, str], unsettled: set[str]) -> str:
    waiting = f"; waiting for {len(unsettled)} that may still be copied" if unsettled else ""
    shown = "".join(f"; {file}: {reason}" for file, reason in list(problems.items())[:PROBLEMS_SHOWN])
    unusable = f"; {len(problems)} files cannot be used (all in this tick's log){shown}" if problems else ""
    return f"nothing to make: all is up to date, in work, or has failed{waiting}{unusable}"


def _requests(
    instance: dg.DagsterInstance, planner: Planner, archives: list[str], settled: set[str], waiting: set[str]
) -> Iterator[dg.RunRequest]:
    calls = [work for archive in archives if (work := planner.work("calls", archive))]
    open_calls = [work for work in calls if not _has_failed(instance, work)]
    yield from (_request(work) for work in open_calls if not _in_progress(instance, work))
    if not open_calls and not waiting and not _calls_in_progress(instance):
        yield from _request_once(instance, planner.work("urgency"))
    if ATTENTION in settled:
        yield from _request_once(instance, planner.work("attention"))


def _request_once(instance: dg.DagsterInstance, work: Work | None) -> Iterator[dg.RunRequest]:
    if work and not _in_progress(instance, work) and not _has_failed(instance, work):
        yield _request(work)


def _request(work: Work) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=work.job,
        partition_key=work.partition,
        run_config=dict(work.config),
        asset_selection=work.assets,
        tags=work.tags,
    )


def _in_progress(instance: dg.DagsterInstance, work: Work) -> bool:
    """Whether any run, also one started by hand, is at work on some of the same assets."""
    tags = {PARTITION_TAG: work.partition} if work.partition else {}
    runs = instance.get_runs(dg.RunsFilter(tags=tags, statuses=IN_PROGRESS))
    return any(run.job_name == work.job or not set(work.assets).isdisjoint(run.asset_selection or ()) for run in runs)


def _calls_in_progress(instance: dg.DagsterInstance) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(job_name=calls_job.name, statuses=IN_PROGRESS), limit=1))


def _has_failed(instance: dg.DagsterInstance, work: Work) -> bool:
    """Whether the newest run from the same inputs failed; a deleted run leaves the work open again."""
    runs = instance.get_runs(dg.RunsFilter(tags={WORK_TAG: work.identity}), limit=1)
    return bool(runs) and runs[0].status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
