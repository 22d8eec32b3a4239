"""Whether the process of a run lives, as Dagster's run monitoring asks."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext, WorkerStatus

from urgency_dagster.definitions import build_definitions
from urgency_dagster.operations import run_launcher
from urgency_dagster.operations.processes import PROCESS_TAG, process_identity, process_of, process_tags
from urgency_dagster.operations.run_launcher import KILLED, UrgencyRunLauncher
from urgency_dagster.settings import Settings

DEAD = {PROCESS_TAG: json.dumps([json.dumps([socket.gethostname(), 999_999_999, 1.0]), None])}
"""The tag of a run whose process does not exist."""

ELSEWHERE = {PROCESS_TAG: json.dumps([json.dumps(["another-host", 1, 1.0]), None])}
"""The tag of a run whose process is on another host."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    launcher = {"module": UrgencyRunLauncher.__module__, "class": UrgencyRunLauncher.__name__}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"run_launcher": launcher}) as instance:
        yield instance


@pytest.fixture
def job(settings: Settings) -> dg.JobDefinition:
    return build_definitions(settings).resolve_job_def("urgency_job")


def health(
    instance: dg.DagsterInstance, job: dg.JobDefinition, tags: dict[str, str]
) -> tuple[WorkerStatus, str | None]:
    """What the launcher says about a started run with these tags."""
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    assert instance.run_launcher.supports_check_run_worker_health
    result = instance.run_launcher.check_run_worker_health(run)
    return result.status, result.msg


def test_a_run_of_a_living_process_is_healthy(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    assert health(instance, job, process_tags()) == (WorkerStatus.RUNNING, None)


def test_a_run_of_a_dead_process_is_not_and_says_why(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    assert health(instance, job, DEAD) == (WorkerStatus.FAILED, KILLED)


def test_a_run_on_another_host_is_left_alone(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    assert health(instance, job, ELSEWHERE)[0] is WorkerStatus.RUNNING


def test_a_run_without_a_known_process_has_its_time(
    instance: dg.DagsterInstance, job: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert health(instance, job, {})[0] is WorkerStatus.RUNNING
    monkeypatch.setattr(run_launcher, "START_TIMEOUT_S", -1)
    assert health(instance, job, {})[0] is WorkerStatus.FAILED


def test_a_repeated_run_does_not_inherit_the_dead_process(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    inherited = {PROCESS_TAG: json.dumps([json.loads(DEAD[PROCESS_TAG])[0], "the run that was killed"])}
    assert health(instance, job, inherited)[0] is WorkerStatus.RUNNING


def test_a_launched_run_names_its_process_before_that_has_its_definitions(
    instance: dg.DagsterInstance, job: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(launcher: UrgencyRunLauncher, context: LaunchRunContext) -> None:
        """What Dagster's code server does."""
        pid = os.getpid()
        message = f"Started process for run (pid: {pid})."
        instance.report_engine_event(message, context.dagster_run, EngineEventData.in_process(pid))

    monkeypatch.setattr(DefaultRunLauncher, "launch_run", launch)
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    launched = instance.get_run_by_id(run.run_id)
    assert launched is not None
    assert process_of(launched) == process_identity()


def test_a_launch_without_a_process_ends_in_time(
    instance: dg.DagsterInstance, job: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DefaultRunLauncher, "launch_run", lambda launcher, context: None)
    monkeypatch.setattr(run_launcher, "NAMED_WITHIN_S", 0.1)
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    launched = instance.get_run_by_id(run.run_id)
    assert launched is not None
    assert process_of(launched) is None
