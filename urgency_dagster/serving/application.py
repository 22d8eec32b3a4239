"""The application: every route over the models of one storage root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from urgency_dagster.serving.configuration import ServingConfig
from urgency_dagster.serving.served_models import ServedModels

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(config: ServingConfig) -> "FastAPI":
    """The ASGI application. Its start loads the models; `app.state.models` and `app.state.config` are for the routes.

    Args:
        config: the storage root and the limits.
    """
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.models = ServedModels(config)
        yield

    app = FastAPI(title="urgency_dagster", lifespan=lifespan)
    app.state.config = config

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app
