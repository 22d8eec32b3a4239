"""The server process of `urgency-dagster serve`."""

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace

from urgency_dagster.errors import ServiceError, SettingsError
from urgency_dagster.serving.application import create_app
from urgency_dagster.serving.configuration import ServingConfig, is_loopback
from urgency_dagster.serving.replicas import serve_replicas

SHUTDOWN_S = 30
"""Seconds that requests have to end after the process is told to end."""

BACKLOG = 128
"""Connections that wait to be accepted."""


def serve(config: ServingConfig, echo: Callable[[str], None], replicas: int = 1) -> None:
    """Serves the models of a storage root until the process is told to end. Requests that run are answered first.

    Args:
        config: see `ServingConfig`.
        echo: receives the address, and what a reader must know.
        replicas: number of processes. More than one need Ray Serve, see `replicas`.

    Raises:
        MissingExtraError: there are several replicas, and the extra `replicas` is not installed.
        SettingsError: others can reach the address and there is no token, or the Ray cluster refuses this process.
        ServiceError: the address cannot be used.
    """
    import uvicorn

    if not config.token and not is_loopback(config.host):
        received = f"no token, and {config.host} can be reached from other machines"
        raise SettingsError(received, "the variable URGENCY_API_TOKEN", "set it, or serve on 127.0.0.1")
    if replicas > 1:
        with closing(_listening(config)) as listener:
            free = replace(config, port=listener.getsockname()[1])
        serve_replicas(free, replicas, echo)
        return
    with closing(_listening(config)) as listener:
        shown_host = f"[{config.host}]" if ":" in config.host else config.host
        echo(f"serving on http://{shown_host}:{listener.getsockname()[1]}; end with Ctrl+C")
        # Access logs would hold the query strings of requests. `RequestLimits` answers unexpected errors.
        options = uvicorn.Config(
            create_app(config),
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_S,
            ws_max_size=config.stream.message_bytes,
            ws_per_message_deflate=False,  # audio does not shrink
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(options).run(sockets=[listener])


def _listening(config: ServingConfig) -> socket.socket:
    """The socket, before a model is loaded: a taken port is said at once."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        received = f"{config.host}:{config.port} cannot be used ({error.strerror})"
        raise ServiceError(received, "a free port of this machine", "choose another with --port") from error
