"""Where steps run, and the tags that say what a step needs. No asset names a resource itself."""

import dagster as dg

from urgency_dagster.operations.environment import STEP_ENVIRONMENT
from urgency_dagster.settings import Settings

MAX_LOCAL_STEPS = 2
"""Steps of one run at once on this machine: enough to overlap, few enough for a laptop's memory."""


def local_executor() -> dg.ExecutorDefinition:
    """A process per step on this machine, forked from one that has the definitions imported."""
    preload = ["dagster", "urgency_dagster.definitions"]
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": MAX_LOCAL_STEPS,
            "start_method": {"forkserver": {"preload_modules": preload}},
            "tag_concurrency_limits": [{"key": "urgency/accelerator", "value": "gpu", "limit": 1}],
        }
    )


def ray_cluster_executor(settings: Settings) -> dg.ExecutorDefinition:
    """A Ray job per step on the cluster whose dashboard is at RAY_ADDRESS.

    Every node needs this package, the same storage root and the same Dagster storage. The step's resources come from
    its tags alone: a value given here would override them.
    """
    from dagster_ray import ray_executor

    names = ["DAGSTER_HOME", *STEP_ENVIRONMENT]
    variables = [f"{key}={value}" for key, value in settings.environment().items()]
    return ray_executor.configured({"ray": {"env_vars": [*variables, *names]}})


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that URGENCY_EXECUTOR names."""
    return ray_cluster_executor(settings) if settings.executor == "ray" else local_executor()
