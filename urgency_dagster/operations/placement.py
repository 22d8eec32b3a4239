"""The resources of steps, as tags, and whether the Ray cluster has them."""

import os
from typing import Any

from urgency_dagster.clusters import DASHBOARD, token_error, unreachable
from urgency_dagster.errors import SettingsError

RAY_CONFIG = "dagster-ray/config"
"""Tag: the resources of the step's Ray job."""

CPU_TAGS = {RAY_CONFIG: {"num_cpus": 1}}
"""Tags of a step without GPU. Without `num_cpus`, Ray would place any number of steps at once."""

GPU_TAGS: dict[str, Any] = {RAY_CONFIG: {"num_cpus": 1, "num_gpus": 1}}
"""Tags of a step that uses the GPU. For a cluster without GPU, start Ray with `--num-gpus=1` on one node."""

GPU_POOL = "gpu"
"""The Dagster pool of the steps that use the GPU. It limits them over all runs."""

RAY_TIMEOUT_S = 20
"""Maximum seconds to wait for the answer of the Ray cluster."""

MAX_NODES = 10_000
"""Maximum nodes that Ray lists. It allows no more."""


def cluster_cpus(address: str) -> int | None:
    """The CPUs of the living nodes of a Ray cluster, or None if it does not say."""
    from ray.util.state import list_nodes
    from ray.util.state.exception import RayStateApiException

    try:
        nodes = list_nodes(address, limit=MAX_NODES, timeout=RAY_TIMEOUT_S)
    except (RayStateApiException, ConnectionError, ValueError):  # a cluster without a dashboard has no state to list
        return None
    return int(sum((node.resources_total or {}).get("CPU", 0) for node in nodes if node.state == "ALIVE"))


def check_ray_cluster() -> None:
    """Checks that the Ray cluster can run every step. Without this check, a step would wait silently for 15 minutes.

    Raises:
        SettingsError: RAY_ADDRESS is not the address of a dashboard, no cluster answers, or no living node has a GPU.
    """
    if living_gpus() == 0:
        raise SettingsError(
            f"no living node of the Ray cluster at {os.environ['RAY_ADDRESS']} has a GPU",
            "one node with a GPU",
            "add one, or start a node with --num-gpus=1 to run these steps on its CPU",
        )


def living_gpus() -> int:
    """The number of GPUs of the living nodes of the Ray cluster.

    Raises:
        SettingsError: RAY_ADDRESS is not the address of a dashboard, no cluster answers, or it refuses the token.
    """
    from ray.exceptions import AuthenticationError
    from ray.util.state import list_nodes
    from ray.util.state.exception import RayStateApiException

    address = os.environ.get("RAY_ADDRESS", "")
    if not address.startswith("http"):
        raise SettingsError(f"RAY_ADDRESS is {address!r}", DASHBOARD, "set it, or set URGENCY_EXECUTOR=local")
    try:
        nodes = list_nodes(address, limit=MAX_NODES, timeout=RAY_TIMEOUT_S)
    except AuthenticationError as error:
        raise token_error(address, error) from error
    except RayStateApiException as error:
        raise unreachable(address) from error
    # Ray lists dead nodes, with their resources, for as long as its head lives. Its filter of `list_nodes` raises.
    return sum(int((node.resources_total or {}).get("GPU", 0)) for node in nodes if node.state == "ALIVE")
