"""The explicit list of everything that Dagster loads."""

import dagster as dg

from urgency_dagster.defs.attention_assets import ATTENTION_ASSETS
from urgency_dagster.defs.call_assets import CALL_ASSETS
from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.executors import executor
from urgency_dagster.defs.jobs import JOBS, full_evaluation_job
from urgency_dagster.defs.landing_check import every_file_is_used, every_recording_is_used
from urgency_dagster.defs.launchpad import with_declared_defaults
from urgency_dagster.defs.resources import resources
from urgency_dagster.defs.schedules import weekly_evaluation
from urgency_dagster.defs.scoring_assets import SCORING_ASSETS
from urgency_dagster.defs.sensors import landing_sensor
from urgency_dagster.defs.urgency_assets import ON_DEMAND_ASSETS, URGENCY_ASSETS
from urgency_dagster.operations.environment import prepare_process
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings


def build_definitions(settings: Settings | None = None) -> dg.Definitions:
    """The code location for some settings, or for those of the environment."""
    chosen = settings or Settings.load()
    assets = (*CALL_ASSETS, *URGENCY_ASSETS, *ON_DEMAND_ASSETS, *ATTENTION_ASSETS, *SCORING_ASSETS)
    return dg.Definitions(
        assets=with_declared_defaults(assets, CATALOGUE, StoragePaths(chosen.storage)),
        asset_checks=[every_file_is_used, every_recording_is_used],
        jobs=[*JOBS, full_evaluation_job],
        schedules=[weekly_evaluation],
        sensors=[landing_sensor],
        resources=resources(chosen),
        executor=executor(chosen),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location that `dagster dev` and every step process load."""
    prepare_process()
    return build_definitions()


# A step process of the `run` command imports its job by the name of a module-level function.
def calls() -> dg.JobDefinition:
    """The job of one archive pair."""
    return defs().resolve_job_def("calls_job")


def urgency() -> dg.JobDefinition:
    """The job of the urgency model."""
    return defs().resolve_job_def("urgency_job")


def attention() -> dg.JobDefinition:
    """The job of the attention models."""
    return defs().resolve_job_def("attention_job")


def scoring() -> dg.JobDefinition:
    """The job of one archive of recordings."""
    return defs().resolve_job_def("scoring_job")


__all__ = ["CATALOGUE", "RUNNABLE", "build_definitions", "defs"]

RUNNABLE = {"calls": calls, "urgency": urgency, "attention": attention, "scoring": scoring}
