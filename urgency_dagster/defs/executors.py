"""The executors: processes on this machine, or jobs on a Ray cluster."""

import dagster as dg

from urgency_dagster.operations.environment import STEP_ENVIRONMENT
from urgency_dagster.operations.placement import ACCELERATOR_TAG, GPU_TAGS, MAX_GPU_STEPS
from urgency_dagster.settings import Settings

MAX_LOCAL_STEPS = 2
"""Maximum steps of a run at the same time on this machine. Two overlap, and still fit a laptop's memory."""


def local_executor() -> dg.ExecutorDefinition:
    """Runs each step in its own process, which is forked from a process that has imported the definitions."""
    preload = ["dagster", "urgency_dagster.definitions"]
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": MAX_LOCAL_STEPS,
            "start_method": {"forkserver": {"preload_modules": preload}},
            "tag_concurrency_limits": [
                {"key": ACCELERATOR_TAG, "value": GPU_TAGS[ACCELERATOR_TAG], "limit": MAX_GPU_STEPS}
            ],
        }
    )


def ray_cluster_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Runs each step as a job on the Ray cluster whose dashboard is at RAY_ADDRESS.

    Every node needs this package, the same storage root and the same Dagster storage. The resources of a step come
    from its tags. A value here would override them.
    """
    from dagster_ray import ray_executor

    names = ["DAGSTER_HOME", *STEP_ENVIRONMENT]
    variables = [f"{key}={value}" for key, value in settings.environment().items()]
    configured: dg.ExecutorDefinition = ray_executor.configured({"ray": {"env_vars": [*variables, *names]}})
    return configured


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the setting URGENCY_EXECUTOR."""
    return ray_cluster_executor(settings) if settings.executor == "ray" else local_executor()
