"""What a step needs, as tags, and whether the Ray cluster has it."""

import os
from typing import Any

from urgency_dagster.errors import SettingsError

RAY_CONFIG = "dagster-ray/config"


CPU_TAGS = {RAY_CONFIG: {"num_cpus": 1}}
"""For every other step: without num_cpus Ray would place any number of steps at once."""


GPU_TAGS: dict[str, Any] = {"urgency/accelerator": "gpu", RAY_CONFIG: {"num_cpus": 1, "num_gpus": 1}}
"""For steps that use the accelerator; on a cluster without one, start Ray with `--num-gpus=1` on one node."""


GPU_POOL = "gpu"
"""The Dagster pool of those steps: at most one runs at a time over all runs (see `instance.prepare_instance`)."""


RAY_TIMEOUT_S = 20


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
