"""Where steps run, and the tags that say what a step needs. No asset names a resource itself."""

import dagster as dg

from urgency_dagster.defs.environment import STEP_ENVIRONMENT
from urgency_dagster.settings import Settings

RAY_CONFIG = "dagster-ray/config"

CPU_TAGS = {RAY_CONFIG: {"num_cpus": 1}}
"""For every other step: without num_cpus Ray would place any number of steps at once."""

GPU_TAGS = {"urgency/accelerator": "gpu", RAY_CONFIG: {"num_cpus": 1, "num_gpus": 1}}
"""For steps that use the accelerator; on a cluster without one, start Ray with `--num-gpus=1` on one node."""

GPU_POOL = "gpu"
"""The Dagster pool of those steps: at most one runs at a time over all runs (see `instance.prepare_instance`)."""

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
