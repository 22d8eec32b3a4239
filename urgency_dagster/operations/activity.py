"""What is going on in Dagster: runs and backfills that have not ended, runs that will be retried, failed plans.

All runs count, whoever started them: the sensor, the Launchpad, the Materialize dialog, a backfill.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterDefinitionChangedDeserializationError
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

from urgency_dagster.operations.groups import GROUPS_OF_JOB
from urgency_dagster.operations.instance import IN_PROGRESS
from urgency_dagster.operations.planning import FORMER_WORK_TAG, WORK_TAG, PlannedRun

PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG, RETRY_RUN_TAG = "dagster/will_retry", "dagster/auto_retry_run_id"

ASSET_JOB = "__ASSET_JOB"
"""The job of runs of the Materialize dialog and of backfills of assets."""

RETRY_WITHIN = timedelta(hours=1)
"""Maximum time between a failure and its retry. After it, nothing waits for the retry any more."""

OPEN_BACKFILLS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
"""The statuses of backfills that may still create runs, or whose runs have not ended."""

FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class State(StrEnum):
    """The state of an archive or of a group at a tick."""

    UP_TO_DATE = "up to date"
    DUE = "requested now"
    IN_WORK = "in work"
    WILL_RETRY = "will be retried"
    FAILED = "failed and waiting for a person"
    WAITING = "waiting for the next tick"


@dataclass(frozen=True)
class Target:
    """What a run or a backfill makes.

    Attributes:
        job: its job, or an empty text.
        assets: its assets; None means all assets of the job.
        partitions: its archives; None means that they are unknown, or that it has none.
    """

    job: str
    assets: frozenset[dg.AssetKey] | None
    partitions: frozenset[str] | None

    def touches(self, group: str, assets: Collection[dg.AssetKey], partition: str | None) -> bool:
        """Whether it makes assets of a group, for one archive if `partition` is given."""
        if partition is not None and self.partitions is not None and partition not in self.partitions:
            return False
        if group in GROUPS_OF_JOB.get(self.job, ()):
            return True
        if self.assets is None:
            return self.job in ("", ASSET_JOB)
        return not self.assets.isdisjoint(assets)


class Activity:
    """One look at the runs and backfills of an instance. It needs three queries, however many archives there are.

    Args:
        instance: the Dagster instance.
        groups: the assets of each group.
        graph: the asset graph. It tells which archives a backfill targets.
    """

    def __init__(
        self, instance: dg.DagsterInstance, groups: dict[str, frozenset[dg.AssetKey]], graph: Any = None
    ) -> None:
        self._instance = instance
        self._groups = groups
        backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=OPEN_BACKFILLS))
        self._running = [
            *(_run_target(run) for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))),
            *(_backfill_target(backfill, graph) for backfill in backfills),
        ]
        self._retried = [_run_target(run) for run in _retried(instance)]

    def in_work(self, group: str, partition: str | None = None) -> bool:
        """Whether a run or a backfill makes assets of a group, for one archive or for any."""
        return any(target.touches(group, self._groups[group], partition) for target in self._running)

    def will_retry(self, group: str, partition: str | None = None) -> bool:
        """Whether Dagster will retry a failed run of a group, for one archive or for any."""
        return any(target.touches(group, self._groups[group], partition) for target in self._retried)

    def state(self, group: str, partition: str | None, planned: PlannedRun | None, failed: Collection[str]) -> State:
        """The state of a group or an archive.

        Args:
            group: the group.
            partition: the archive, for `calls`.
            planned: the run that it needs.
            failed: identities of failed runs, see `failed`.
        """
        if self.in_work(group, partition):
            return State.IN_WORK
        if self.will_retry(group, partition):
            return State.WILL_RETRY
        if planned is None:
            return State.UP_TO_DATE
        return State.FAILED if planned.identity in failed else State.DUE

    def failed(self, planned: Sequence[PlannedRun]) -> set[str]:
        """The identities whose newest run failed. After a person deletes that run, it is requested again."""
        newest: dict[str, dg.DagsterRunStatus] = {}
        identities = [run.identity for run in planned]
        for tag in (WORK_TAG, FORMER_WORK_TAG) if identities else ():
            for run in self._instance.get_runs(dg.RunsFilter(tags={tag: identities})):  # newest first
                newest.setdefault(run.tags[tag], run.status)
        return {identity for identity, status in newest.items() if status in FAILED}


def _run_target(run: dg.DagsterRun) -> Target:
    partition = run.tags.get(PARTITION_TAG)
    assets = None if run.asset_selection is None else frozenset(run.asset_selection)
    return Target(run.job_name, assets, frozenset([partition]) if partition else None)


def _backfill_target(backfill: PartitionBackfill, graph: Any) -> Target:
    if not backfill.is_asset_backfill:
        return Target(backfill.job_name or "", None, frozenset(backfill.partition_names or ()))
    assets = None if backfill.asset_selection is None else frozenset(backfill.asset_selection)
    return Target("", assets, _backfill_partitions(backfill, graph))


def _backfill_partitions(backfill: PartitionBackfill, graph: Any) -> frozenset[str] | None:
    if graph is None:
        return None
    try:
        names = backfill.get_asset_backfill_data(graph).get_partition_names()
    except DagsterDefinitionChangedDeserializationError:  # the assets changed since the backfill was requested
        return None
    return None if names is None else frozenset(names)


def _retried(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The failed runs that Dagster's daemon will retry and has not retried yet."""
    recent = dg.RunsFilter(
        tags={WILL_RETRY_TAG: "true"},
        statuses=[dg.DagsterRunStatus.FAILURE],
        updated_after=datetime.now(UTC) - RETRY_WITHIN,
    )
    return [run for run in instance.get_runs(recent) if RETRY_RUN_TAG not in run.tags]
