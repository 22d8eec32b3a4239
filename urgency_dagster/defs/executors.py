"""The executors: processes on this machine, or jobs on a Ray cluster."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig

from urgency_dagster.defs.steps import MEMORY_REMEDY, NO_MEMORY_LEFT
from urgency_dagster.operations.environment import STEP_ENVIRONMENT
from urgency_dagster.operations.gpus import follow_gpus, gpu_limit
from urgency_dagster.operations.placement import living_gpus
from urgency_dagster.operations.pool_slots import take_slots_alone
from urgency_dagster.operations.preloading import EVERY_STEP
from urgency_dagster.operations.processes import RUN_PROCESS_VARIABLE, memory_kills, name_run_process, process_tags
from urgency_dagster.operations.ray_steps import talking_executor
from urgency_dagster.settings import Settings

MAX_LOCAL_STEPS = 2
"""Maximum steps of a run at the same time on this machine. Two overlap, and still fit a laptop's memory."""


class IdentifiedExecutor(dg.Executor):
    """An executor that writes down which process executes the run, before the first step starts.

    The run gets the tag `PROCESS_TAG`; the step processes get the variable `RUN_PROCESS_VARIABLE`. The limit of the GPU
    pool follows the GPUs that there are now, and no two runs take the same slot of it.
    """

    def __init__(self, executor: dg.Executor, settings: Settings) -> None:
        self._executor = executor
        self._settings = settings

    @property
    def retries(self) -> RetryMode:
        """The retry mode of the executor below."""
        return self._executor.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """When a step may start, as the executor below says."""
        return self._executor.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Executes the steps with the executor below."""
        name_run_process()
        plan_context.instance.add_run_tags(plan_context.run_id, process_tags(plan_context.run_id))
        follow_gpus(plan_context.instance, gpu_limit(self._settings))
        take_slots_alone(plan_context.instance)
        kills = memory_kills()
        for event in self._executor.execute(plan_context, execution_plan):
            yield event
            if _is_crash(event) and memory_kills() > kills:  # Dagster guesses the same at every killed process
                kills = memory_kills()
                told = EngineEventData()
                yield dg.DagsterEvent.engine_event(plan_context, f"{NO_MEMORY_LEFT}; {MEMORY_REMEDY}", told)


def _is_crash(event: dg.DagsterEvent) -> bool:
    """Whether the process of a step ended without a result."""
    error = event.engine_event_data.error if event.event_type == dg.DagsterEventType.ENGINE_EVENT else None
    return error is not None and error.cls_name == "ChildProcessCrashException"


def _identified(below: dg.ExecutorDefinition, settings: Settings) -> dg.ExecutorDefinition:
    """The executor with the same name and options that writes down its process."""
    function: Any = below.executor_creation_fn

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        if settings.executor != "ray":
            return IdentifiedExecutor(function(context), settings)
        living_gpus()  # dagster-ray's error of a cluster that does not answer is no sentence
        return IdentifiedExecutor(talking_executor(function(context)), settings)

    requirements = dg.multiple_process_executor_requirements()
    schema: Any = below.config_schema
    return dg.ExecutorDefinition(below.name, schema, requirements, create)


def local_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Runs each step in its own process, which is forked from a process that has imported the definitions."""
    return _identified(dg.multiprocess_executor, settings).configured(
        {
            "max_concurrent": MAX_LOCAL_STEPS,
            "start_method": {"forkserver": {"preload_modules": list(EVERY_STEP)}},
        }
    )


def ray_cluster_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Runs each step as a job on the Ray cluster whose dashboard is at RAY_ADDRESS.

    Every node needs this package, the same storage root and the same Dagster storage. The resources of a step come
    from its tags. A value here would override them.
    """
    from dagster_ray import ray_executor

    names = ["DAGSTER_HOME", RUN_PROCESS_VARIABLE, *STEP_ENVIRONMENT]
    variables = [f"{key}={value}" for key, value in settings.environment().items()]
    return _identified(ray_executor, settings).configured({"ray": {"env_vars": [*variables, *names]}})


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the setting URGENCY_EXECUTOR."""
    return ray_cluster_executor(settings) if settings.executor == "ray" else local_executor(settings)
