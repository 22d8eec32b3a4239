"""Where steps run, and the tags that say what a step needs. No asset names a resource itself."""

import os
from typing import Any

import dagster as dg

from urgency_dagster.defs.environment import STEP_ENVIRONMENT
from urgency_dagster.errors import SettingsError
from urgency_dagster.settings import Settings

RAY_CONFIG = "dagster-ray/config"

CPU_TAGS = {RAY_CONFIG: {"num_cpus": 1}}
"""For every other step: without num_cpus Ray would place any number of steps at once."""

GPU_TAGS: dict[str, Any] = {"urgency/accelerator": "gpu", RAY_CONFIG: {"num_cpus": 1, "num_gpus": 1}}
"""For steps that use the accelerator; on a cluster without one, start Ray with `--num-gpus=1` on one node."""

GPU_POOL = "gpu"
"""The Dagster pool of those steps: at most one runs at a time over all runs (see `instance.prepare_instance`)."""

RAY_TIMEOUT_S = 20

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


def check_ray_cluster() -> None:
    """Makes sure that every step can be placed; Ray itself would let it wait for a quarter of an hour in silence.

    Raises:
        SettingsError: RAY_ADDRESS is not set, nothing answers there, or no node has the GPU that steps ask for.
    """
    from ray.util.state import list_nodes
    from ray.util.state.exception import RayStateApiException

    address = os.environ.get("RAY_ADDRESS", "")
    expected = "the address of a Ray dashboard, such as http://head:8265"
    if not address.startswith("http"):
        raise SettingsError(f"RAY_ADDRESS is {address!r}", expected, "set it, or set URGENCY_EXECUTOR=local")
    try:
        nodes = list_nodes(address=address, timeout=RAY_TIMEOUT_S)
    except RayStateApiException as error:
        raise SettingsError(f"no Ray cluster answers at {address}", expected, "start the cluster") from error
    if not any((node.resources_total or {}).get("GPU", 0) >= GPU_TAGS[RAY_CONFIG]["num_gpus"] for node in nodes):
        raise SettingsError(
            f"no node of the Ray cluster at {address} has a GPU",
            "one node with a GPU",
            "add one, or start a node with --num-gpus=1 to run those steps on its processor",
        )


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that URGENCY_EXECUTOR names."""
    return ray_cluster_executor(settings) if settings.executor == "ray" else local_executor()
