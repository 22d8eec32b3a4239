"""Runs that this process executes and that belong to the code location of `dev`.

A run without the origin of a code location is missing on the UI's overview, jobs and timeline, and the UI cannot
execute it again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
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
    reconstructable = dg.reconstructable(job)
    if run.assets:
        reconstructable = reconstructable.get_subset(asset_selection=frozenset(run.assets))
    definition = reconstructable.get_definition()
    # The next `run` makes what is missing. Without this tag, a later `dev` would repeat a killed run as well.
    label = {REPOSITORY_LABEL_TAG: f"{REPOSITORY}@{LOCATION}", MAX_RETRIES_TAG: "0"}
    created = instance.create_run_for_job(
        definition,
        run_config=config,
        tags={**definition.run_tags, **tags, **label},
        asset_selection=frozenset(run.assets) if run.assets else None,
        job_code_origin=reconstructable.get_python_origin(),
        remote_job_origin=_origin(definition.name),
    )
    return execute_run(reconstructable, created, instance).success


def _origin(job_name: str) -> RemoteJobOrigin:
    """The origin that the UI compares by the names of location, repository and job."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, REPOSITORY), job_name)
