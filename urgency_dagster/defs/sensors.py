"""The sensor of the landing folders: it requests the runs that new archives, recordings and a new pickle need."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import dagster as dg

from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.jobs import JOBS
from urgency_dagster.defs.partitions import ARCHIVES_OF_GROUP
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.operations.activity import Activity, State
from urgency_dagster.operations.groups import GROUPS
from urgency_dagster.operations.history import new_partitions
from urgency_dagster.operations.instance import is_locked
from urgency_dagster.operations.landing_events import (
    MAX_PROBLEMS,
    LandingLook,
    input_name,
    landing_evaluation,
    landing_problems,
)
from urgency_dagster.operations.planning import REASON_TAG, PlannedRun, Planner
from urgency_dagster.provenance.keys import LANDED_OF_GROUP
from urgency_dagster.provenance.manifests import partitions_with_manifest

INTERVAL_S = 10
"""Minimum seconds between two ticks. A pair is used at the second tick that sees it, and its run starts within 45 s."""

ATTENTION = "attention.pkl"

WITHOUT_TAG = "without"
"""Run tag: the archives that are missing in a training, because their run failed."""


@dg.sensor(
    jobs=JOBS,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests runs for new or changed archive pairs, recordings to score and attention.pkl in landing/. A "
    "run makes only missing and outdated assets. Training starts after all archive pairs. A failed run is not "
    "requested again: re-execute it, or use `urgency-dagster run`.",
)
def landing_sensor(
    context: dg.SensorEvaluationContext, storage: StorageResource, models: ModelsResource
) -> dg.SensorResult:
    """Requests runs. A landed file is used when its fingerprint is the same at two ticks in a row."""
    if is_locked(Path(context.instance.root_directory)):
        return dg.SensorResult(skip_reason="`urgency-dagster run` is running and makes everything that is needed")
    planner = Planner(storage.paths, models.names, CATALOGUE)
    look = LandingLook.since(context.cursor, planner.landed)
    with planner.landed.collecting():
        tick = _Tick(context.instance, planner, look, _activity(context))
        requests = list(tick.requests())
    problems = look.by_check(landing_problems(planner.landed))
    told = {file: problem for of_check in problems.values() for file, problem in of_check.items()}
    for file, problem in look.untold(told).items():
        context.log.warning("not used: %s: %s", file, problem)
    news = problems if look.is_news(told) else {}
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _skip_reason(tick, told.keys() - look.problems().keys(), told),
        dynamic_partitions_requests=[*_added_partitions(context.instance, tick)],
        asset_events=[event for check in news for event in landing_evaluation(context.instance, check, news[check])],
        cursor=look.cursor(told),
    )


def _added_partitions(instance: dg.DagsterInstance, tick: "_Tick") -> Iterator[dg.AddDynamicPartitionsRequest]:
    for archives in tick.archives:
        definition = ARCHIVES_OF_GROUP[archives.group]
        if added := new_partitions(instance, definition.name or "", list(archives.plans)):
            yield definition.build_add_request(added)


def _activity(context: dg.SensorEvaluationContext) -> Activity:
    groups = {group: frozenset(spec.key for spec in CATALOGUE.in_order(group)) for group in GROUPS}
    repository = context.repository_def
    return Activity(context.instance, groups, repository.asset_graph if repository else None)


class _Archives:
    """The archives of one group at a tick.

    Attributes:
        group: `calls` or `scoring`.
        plans: the run that each archive needs, or None. An archive that changes is left out.
        states: the state of each archive.
    """

    def __init__(self, group: str, planner: Planner, look: LandingLook, activity: Activity) -> None:
        self.group = group
        key, archives = LANDED_OF_GROUP[group], planner.archives(group)
        waiting = [name for name in archives if input_name(key, name) in look.unsettled]
        self.plans = {name: planner.planned_run(group, name) for name in archives if name not in waiting}
        failed = activity.failed([run for run in self.plans.values() if run])
        self.states = {name: activity.state(group, name, run, failed) for name, run in self.plans.items()}
        self.states |= dict.fromkeys(waiting, State.WAITING)

    def named(self, state: State) -> list[str]:
        """The archives with a state."""
        return sorted(name for name, present in self.states.items() if present is state)

    def requests(self) -> Iterator[dg.RunRequest]:
        """The runs to request now."""
        for name, run in self.plans.items():
            if run and self.states[name] is State.DUE:
                yield _request(run)

    def words(self) -> str:
        """The number of archives with each state."""
        counts = Counter(self.states.values())
        return "; ".join(self._state_words(state, counts[state]) for state in counts)

    def _state_words(self, state: State, count: int) -> str:
        names = f" ({_names(self.named(state))})" if state in (State.FAILED, State.WILL_RETRY) else ""
        return f"{count} {state}{names}"


class _Tick:
    """The decisions of one tick.

    Attributes:
        look: the landed inputs.
        calls: the archive pairs.
        scoring: the archives of recordings.
        unscored: the number of archives of recordings that wait for a trained model.
    """

    def __init__(self, instance: dg.DagsterInstance, planner: Planner, look: LandingLook, activity: Activity) -> None:
        self._instance, self._planner, self._activity = instance, planner, activity
        self.look = look
        self.calls, self.scoring = (_Archives(group, planner, look, activity) for group in ("calls", "scoring"))
        self.unscored = planner.unscored()

    @property
    def archives(self) -> tuple[_Archives, _Archives]:
        """The archives of both groups."""
        return self.calls, self.scoring

    def requests(self) -> Iterator[dg.RunRequest]:
        """The runs to request now."""
        yield from self.calls.requests()
        if not self.training_waits():
            missing = sorted(set(self.calls.named(State.FAILED)) - set(self._complete()))
            yield from self._request_once("urgency", missing)
        if ATTENTION in self.look.settled:
            yield from self._request_once("attention")
        yield from self.scoring.requests()

    def training_waits(self) -> bool:
        """Whether an archive is not ready yet, or calls are made by a run or a backfill at the moment."""
        open_states = {State.DUE, State.IN_WORK, State.WILL_RETRY, State.WAITING}
        busy = self._activity.in_work("calls") or self._activity.will_retry("calls")
        return busy or not open_states.isdisjoint(self.calls.states.values())

    def _complete(self) -> list[str]:
        return partitions_with_manifest(self._planner.paths, "processed_data")

    def _request_once(self, group: str, missing: list[str] | None = None) -> Iterator[dg.RunRequest]:
        run = self._planner.planned_run(group)
        failed = self._activity.failed([run] if run else [])
        if run and self._activity.state(group, None, run, failed) is State.DUE:
            yield _request(run, _names(missing) if missing else "")


def _request(run: PlannedRun, without: str = "") -> dg.RunRequest:
    tags = run.tags
    if without:
        tags |= {WITHOUT_TAG: without, REASON_TAG: f"{run.reason}; without {without}, whose runs failed"}
    return dg.RunRequest(
        job_name=run.job,
        partition_key=run.partition,
        run_config=dict(run.config),
        asset_selection=run.assets,
        asset_check_keys=run.checks,
        tags=tags,
    )


def _names(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - MAX_PROBLEMS
    return ", ".join(names[:MAX_PROBLEMS]) + (f" and {more} more" if more > 0 else "")


def _skip_reason(tick: _Tick, unusable: Collection[str], problems: Mapping[str, str]) -> str:
    look = tick.look
    sentences = ["Nothing to request."]
    if look.is_first and look.unsettled:
        sentences = [f"first look: {len(look.unsettled)} inputs; each is used when it is the same at the next tick."]
    elif look.unsettled:
        sentences.append(f"{len(look.unsettled)} new or changed inputs wait for the next tick.")
    if tick.calls.states:
        sentences.append(f"Archives: {tick.calls.words()}.")
        if tick.training_waits():
            sentences.append("The training of the urgency model waits for them.")
    if tick.scoring.states:
        sentences.append(f"Recordings to score: {tick.scoring.words()}.")
    if tick.unscored:
        sentences.append(f"{tick.unscored} of them wait for the first trained urgency model.")
    if unusable:
        sentences.append(f"{len(unusable)} files cannot be used; see the checks `every_file_is_used`.")
    shown = [file for file in problems if file in unusable][:MAX_PROBLEMS]
    return " ".join([*sentences, *(f"{file}: {problems[file]}." for file in shown)])
