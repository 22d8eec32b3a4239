"""The sensor of the landing folders: it requests the runs that new archives and a new attention pickle need."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg

from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.jobs import JOBS, calls_job
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.operations.instance import IN_PROGRESS, is_locked
from urgency_dagster.operations.landing_events import (
    landing_events,
    landing_fingerprints,
    landing_observation,
    new_partitions,
)
from urgency_dagster.operations.planning import WORK_TAG, PlannedRun, Planner

INTERVAL_S = 20
"""Minimum seconds between two ticks."""

CHANGING = "its size or time changed since the last tick; it is used when it no longer changes"

MAX_PROBLEMS = 5
"""Maximum unusable files in the skip reason of a tick."""

ATTENTION = "attention.pkl"
PARTITION_TAG = "dagster/partition"


@dg.sensor(
    jobs=JOBS,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests runs for new or changed archive pairs and attention.pkl in landing/. A run makes only "
    "missing and outdated assets. Training starts after all archives. A failed run is not requested again: re-execute "
    "it, or use `urgency-dagster run`.",
)
def landing_sensor(
    context: dg.SensorEvaluationContext, storage: StorageResource, models: ModelsResource
) -> dg.SensorResult:
    """Requests runs. A landed file is used when its fingerprint is the same at two ticks in a row."""
    if is_locked(Path(context.instance.root_directory)):
        return dg.SensorResult(skip_reason="`urgency-dagster run` is running and makes everything that is needed")
    planner = Planner(storage.paths, models.names, CATALOGUE)
    fingerprints = landing_fingerprints(planner.landed)
    last_tick = json.loads(context.cursor) if context.cursor else {}
    settled = {name for name, fingerprint in fingerprints.items() if last_tick.get(name) == fingerprint}
    changing = fingerprints.keys() - settled
    archives = [name for name in planner.archives() if name not in changing]
    requests = list(_requests(context.instance, planner, archives, settled, changing - {ATTENTION}))
    landed = list(landing_events(context.instance, planner.landed, sorted(settled)))
    # After planning: a file that changed during its reading has become a problem.
    problems = planner.landed.calls.problems | dict.fromkeys(changing - {ATTENTION}, CHANGING)
    for file, problem in problems.items():
        context.log.warning("not used: %s: %s", file, problem)
    added = new_partitions(context.instance, archives)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _skip_reason(planner.landed.calls.problems, changing),
        dynamic_partitions_requests=[call_archives.build_add_request(added)] if added else [],
        asset_events=[*landed, *landing_observation(context.instance, problems)],
        cursor=json.dumps(fingerprints, sort_keys=True, ensure_ascii=False),
    )


def _skip_reason(problems: Mapping[str, str], changing: set[str]) -> str:
    sentences = ["Nothing to do: everything is up to date, in progress, or has failed."]
    if changing:
        sentences.append(f"{len(changing)} new or changed inputs wait for the next tick.")
    if problems:
        sentences.append(f"{len(problems)} files cannot be used; the log of this tick lists all.")
    return " ".join([*sentences, *(f"{file}: {reason}." for file, reason in list(problems.items())[:MAX_PROBLEMS])])


def _requests(
    instance: dg.DagsterInstance, planner: Planner, archives: list[str], settled: set[str], changing: set[str]
) -> Iterator[dg.RunRequest]:
    archive_runs = [run for archive in archives if (run := planner.planned_run("calls", archive))]
    not_failed = [run for run in archive_runs if not _has_failed(instance, run)]
    yield from (_request(run) for run in not_failed if not _in_progress(instance, run))
    if not not_failed and not changing and not _calls_in_progress(instance):
        yield from _request_once(instance, planner.planned_run("urgency"))
    if ATTENTION in settled:
        yield from _request_once(instance, planner.planned_run("attention"))


def _request_once(instance: dg.DagsterInstance, run: PlannedRun | None) -> Iterator[dg.RunRequest]:
    if run and not _in_progress(instance, run) and not _has_failed(instance, run):
        yield _request(run)


def _request(run: PlannedRun) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=run.job,
        partition_key=run.partition,
        run_config=dict(run.config),
        asset_selection=run.assets,
        tags=run.tags,
    )


def _in_progress(instance: dg.DagsterInstance, planned: PlannedRun) -> bool:
    """Whether a run makes some of the same assets at the moment. A user may have started it."""
    tags = {PARTITION_TAG: planned.partition} if planned.partition else {}
    runs = instance.get_runs(dg.RunsFilter(tags=tags, statuses=IN_PROGRESS))
    assets = set(planned.assets)
    return any(run.job_name == planned.job or not assets.isdisjoint(run.asset_selection or ()) for run in runs)


def _calls_in_progress(instance: dg.DagsterInstance) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(job_name=calls_job.name, statuses=IN_PROGRESS), limit=1))


def _has_failed(instance: dg.DagsterInstance, planned: PlannedRun) -> bool:
    """Whether the newest run with the same identity failed. After a user deletes that run, it is requested again."""
    runs = instance.get_runs(dg.RunsFilter(tags={WORK_TAG: planned.identity}), limit=1)
    return bool(runs) and runs[0].status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
