"""Several processes of the same application behind one address, by Ray Serve.

Ray's HAProxy spreads the requests. It is the fastest mode of Ray Serve, and it opens ports of its own: the proxy tells
counts of connections on all interfaces, and on a cluster of several machines the replicas can be reached from each.
Every replica asks for the token, so a token is required on loopback, too.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from urgency_dagster.clusters import connected
from urgency_dagster.errors import SettingsError
from urgency_dagster.extras import require_extra
from urgency_dagster.serving.application import create_app
from urgency_dagster.serving.configuration import ServingConfig

HIGH_THROUGHPUT = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""Ray reads these when it is imported. A cluster that already runs must have been started with them."""

APPLICATION = "urgency_dagster"
"""The name of the application in Ray Serve."""


def serve_replicas(config: ServingConfig, replicas: int, echo: Callable[[str], None]) -> None:
    """Serves the models with some replicas until the process is told to end.

    The replicas run on the cluster at RAY_ADDRESS, or on a private one on this machine. Each loads the models of the
    storage root itself, so every machine of a cluster must reach the storage root under the same path.

    Args:
        config: see `ServingConfig`; its port is a free one.
        replicas: number of processes, each with one core.
        echo: receives the address.

    Raises:
        MissingExtraError: the extra `replicas` is not installed.
        SettingsError: there is no token, or the cluster refuses this process.
    """
    require_extra("replicas")
    if not config.token:
        received = "no token for replicas, whose ports other machines may reach"
        raise SettingsError(received, "the variable URGENCY_API_TOKEN", "set it, or serve without --replicas")
    for name, value in HIGH_THROUGHPUT.items():
        os.environ.setdefault(name, value)
    with connected(os.environ.get("RAY_ADDRESS") or None, num_cpus=replicas):
        _start(config, replicas)
        echo(f"serving {replicas} replicas on http://{config.host}:{config.port}; end with Ctrl+C")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        _stop()


def _start(config: ServingConfig, replicas: int) -> None:
    """Starts the replicas, and returns when all answer."""
    from ray import serve

    serve.start(http_options={"host": config.host, "port": config.port})

    @serve.ingress(lambda: create_app(config))
    class Replica:
        """A process with the application."""

    deployment: Any = serve.deployment(
        num_replicas=replicas,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=config.limits.requests + config.limits.connections,
    )(Replica)
    serve.run(deployment.bind(), name=APPLICATION, route_prefix="/")


def _stop() -> None:
    """Ends the replicas. Other applications of the cluster go on."""
    from ray import serve

    serve.delete(APPLICATION)
