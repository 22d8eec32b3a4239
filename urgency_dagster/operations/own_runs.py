"""Runs that this process executes and that belong to the code location of `dev`.

A run without the origin of a code location is missing on the UI's overview, jobs and timeline, and the UI cannot
execute it again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.tags import MAX_RETRIES_TAG, REPOSITORY_LABEL_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from urgency_dagster.operations.dev_server import LOCATION, MODULE
from urgency_dagster.operations.planning import PlannedRun

REPOSITORY = "__repository__"
"""Dagster's name of the only repository of a code location made of `Definitions`."""


def execute_own_run(
    instance: dg.DagsterInstance,
    run: PlannedRun,
    job: Callable[[], dg.JobDefinition],
    config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> bool:
    """Creates a run and executes it here.

    Returns:
        Whether the run succeeded.
    """
    selected = dg.reconstructable(job).get_subset(
        asset_selection=frozenset(run.assets), asset_check_selection=frozenset(run.checks)
    )
    return execute_run(selected, _created(instance, selected, config, tags), instance).success


def _created(
    instance: dg.DagsterInstance, selected: ReconstructableJob, config: Mapping[str, Any], tags: Mapping[str, str]
) -> dg.DagsterRun:
    """A new run of some assets and checks. `create_run_for_job` cannot leave out a check of a selected asset."""
    definition = selected.get_definition()
    # The next `run` makes what is missing. Without this tag, a later `dev` would repeat a killed run as well.
    label = {REPOSITORY_LABEL_TAG: f"{REPOSITORY}@{LOCATION}", MAX_RETRIES_TAG: "0"}
    all_tags = {**definition.run_tags, **tags, **label}
    plan = create_execution_plan(definition, run_config=config, instance_ref=instance.get_ref(), tags=all_tags)
    return instance.create_run(
        job_name=definition.name,
        run_id=None,
        run_config=config,
        status=None,
        tags=all_tags,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=snapshot_from_execution_plan(plan, definition.get_job_snapshot_id()),
        job_snapshot=definition.get_job_snapshot(),
        parent_job_snapshot=definition.get_parent_job_snapshot(),
        asset_selection=selected.asset_selection,
        asset_check_selection=selected.asset_check_selection,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=_origin(definition.name),
        job_code_origin=selected.get_python_origin(),
        asset_graph=definition.asset_layer.asset_graph,
    )


def _origin(job_name: str) -> RemoteJobOrigin:
    """The origin that the UI compares by the names of location, repository and job."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, REPOSITORY), job_name)
