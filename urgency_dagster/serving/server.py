"""The server process of `urgency-dagster serve`."""

from urgency_dagster.serving.application import create_app
from urgency_dagster.serving.configuration import ServingConfig


def serve(config: ServingConfig) -> None:
    """Serves the models of a storage root until the process is told to end."""
    import uvicorn

    uvicorn.run(create_app(config), host=config.host, port=config.port, access_log=False)
