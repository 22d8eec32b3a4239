"""Steps on a Ray cluster: what a step waits for is said, and a cluster that is gone is noticed."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)

from urgency_dagster.clusters import unreachable
from urgency_dagster.operations.console import WAITING

CHECK_S = 5
"""Seconds between two looks at a step. Dagster's default is 20."""

FIRST_S, AGAIN_S = 10.0, 60.0
"""Seconds until a step without a place is told, and until it is told again."""

GONE_S = 60.0
"""Seconds without an answer of the cluster after which a step counts as lost."""


def talking_executor(below: Any) -> dg.Executor:
    """The executor of dagster-ray, with `RaySteps` and shorter intervals.

    Args:
        below: a `StepDelegatingExecutor` with dagster-ray's step handler.
    """
    return StepDelegatingExecutor(
        RaySteps(below._step_handler),
        retries=below.retries,
        check_step_health_interval_seconds=CHECK_S,
        should_verify_step=True,
    )


class RaySteps(StepHandler):
    """Starts steps with dagster-ray's handler, and looks at them more closely."""

    def __init__(self, below: Any) -> None:
        super().__init__()
        self._below = below
        self._answered = time.monotonic()
        self._telling: dict[str, float] = {}  # when a job that has not started is told next, by job
        self._started: set[str] = set()

    @property
    def name(self) -> str:
        """The name in Dagster's messages."""
        return str(self._below.name)

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Submits the step as a job.

        Raises:
            SettingsError: no cluster answers.
        """
        try:
            yield from self._below.launch_step(step_handler_context)
        except OSError as error:
            raise unreachable(os.environ.get("RAY_ADDRESS", "")) from error

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the job of the step is still there. A cluster may be out of reach for `GONE_S`."""
        try:
            health: CheckStepHealthResult = self._below.check_step_health(step_handler_context)
            self._answered = time.monotonic()
            self._tell_waiting(step_handler_context)
        except OSError as error:
            silent = time.monotonic() - self._answered
            if silent < GONE_S:
                return CheckStepHealthResult.healthy()
            return CheckStepHealthResult.unhealthy(f"the Ray cluster has not answered for {silent:.0f} s: {error}")
        return health

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Stops the job of the step. The jobs of a cluster that is gone have ended with it."""
        with suppress(OSError):
            yield from self._below.terminate_step(step_handler_context)

    def _tell_waiting(self, context: StepHandlerContext) -> None:
        (step_key,) = context.execute_step_args.step_keys_to_execute or ()
        job = self._below._get_ray_job_submission_id(context)
        if job in self._started:
            return
        if self._below.client.get_job_status(job) != "PENDING":
            self._started.add(job)
        elif self._is_due(job):
            needs = _needs(context.step_tags[step_key])
            free = self._free_for(needs)
            if free:
                message = f"{WAITING}{step_key} needs {_words(needs)}; free: {free}"
                dg.DagsterEvent.engine_event(context.get_step_context(step_key), message, EngineEventData())
                self._telling[job] = time.monotonic() + AGAIN_S

    def _is_due(self, job: str) -> bool:
        now = time.monotonic()
        return now >= self._telling.setdefault(job, now + FIRST_S - CHECK_S)  # the first look is one interval late

    def _free_for(self, needs: Mapping[str, float]) -> str | None:
        """What is free on the cluster, or None if nothing that needs as much waits there."""
        answer = self._below.client._do_request("GET", "/api/cluster_status")
        report = (answer.json()["data"]["clusterStatus"] or {}).get("loadMetricsReport") or {}
        waiting = [{kind: shape.get(kind, 0) for kind in needs} for shape, _count in report.get("resourceDemand", ())]
        if dict(needs) not in waiting:
            return None
        return ", ".join(_free(kind, *report["usage"].get(kind, (0, 0))) for kind in needs)


def _needs(tags: Mapping[str, str]) -> dict[str, float]:
    """The GPUs and CPUs of a step by its tags, without zeros."""
    from dagster_ray.configs import RayExecutionConfig

    config = RayExecutionConfig.from_tags({**tags})
    needs = {"GPU": config.num_gpus or 0.0, "CPU": config.num_cpus or 0.0}
    return {kind: float(number) for kind, number in needs.items() if number}


def _words(needs: Mapping[str, float]) -> str:
    return " and ".join(f"{number:g} {kind}" for kind, number in needs.items())


def _free(kind: str, used: float, total: float) -> str:
    return f"{total - used:g} of {total:g} {kind}"
