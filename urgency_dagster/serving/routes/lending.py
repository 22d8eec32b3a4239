"""What every route takes from the application: its models and its limits."""

from typing import Annotated

from fastapi import Depends, Request

from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.served_models import ServedModels


def _models(request: Request) -> ServedModels:
    models: ServedModels = request.app.state.models
    return models


def _limits(request: Request) -> Limits:
    limits: Limits = request.app.state.config.limits
    return limits


Models = Annotated[ServedModels, Depends(_models)]
"""The models of the application. A route lends them for the time of its answer."""

ServerLimits = Annotated[Limits, Depends(_limits)]
"""The limits of the application."""
