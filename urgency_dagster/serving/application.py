"""The application: every route over the models of one storage root."""

import logging
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

    from urgency_dagster.serving.metrics import add_metrics
    from urgency_dagster.serving.openapi import describe
    from urgency_dagster.serving.problems import add_problem_handlers
    from urgency_dagster.serving.request_limits import RequestLimits
    from urgency_dagster.serving.routes import attention, calls, health, models, open_inference, reports, utterances
    from urgency_dagster.serving.routes.dashboard import add_dashboard
    from urgency_dagster.serving.security import Security
    from urgency_dagster.serving.stream import route as stream
    from urgency_dagster.serving.stream.sessions import open_sessions

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with ServedModels(config) as models:
            app.state.models = models
            async with open_sessions(models, config.limits, config.stream) as app.state.sessions:
                yield

    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its warnings hold bytes of the body
    # The pages of FastAPI's documentation load their scripts from another server.
    app = FastAPI(title="urgency_dagster", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.config = config
    for routes in (calls, utterances, attention, models, reports, health, open_inference, stream):
        app.include_router(routes.router)
    add_dashboard(app)
    add_problem_handlers(app)
    app.add_middleware(RequestLimits, limits=config.limits)
    app.add_middleware(Security, config=config)
    add_metrics(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app
