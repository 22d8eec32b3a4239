"""A Ray cluster that does not answer. Busy clusters, refused tokens and dead nodes are in the tests of `defs`."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandlerContext

from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.ray_steps import RaySteps


class Unreachable:
    """A step handler whose cluster does not answer."""

    name = "unreachable"

    def launch_step(self, context: StepHandlerContext) -> Iterator[Any]:
        """Raises what the client of Ray raises."""
        raise ConnectionError("no route")
        yield

    def check_step_health(self, context: StepHandlerContext) -> CheckStepHealthResult:
        """Raises what the client of Ray raises."""
        raise ConnectionError("no route")

    terminate_step = launch_step


CONTEXT: Any = None
"""The handler above does not look at it."""


def test_a_short_silence_of_the_cluster_costs_no_step() -> None:
    assert RaySteps(Unreachable()).check_step_health(CONTEXT).is_healthy


def test_a_step_is_lost_with_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = RaySteps(Unreachable())
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 90)
    health = steps.check_step_health(CONTEXT)
    assert not health.is_healthy
    assert health.unhealthy_reason == "the Ray cluster has not answered for 90 s: no route"


def test_a_step_cannot_start_on_a_cluster_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(SettingsError, match="no Ray cluster answers at http://head:8265"):
        list(RaySteps(Unreachable()).launch_step(CONTEXT))


def test_a_run_can_end_although_its_cluster_is_gone() -> None:
    assert list(RaySteps(Unreachable()).terminate_step(CONTEXT)) == []
