"""What `dev` ends when it stops, and when a former one was killed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from urgency_dagster.definitions import build_definitions
from urgency_dagster.operations.dev_server import SERVER_FILE, STOPPED, _end_leftovers, end_runs
from urgency_dagster.operations.instance import report_killed
from urgency_dagster.operations.processes import PROCESS_TAG, process_identity
from urgency_dagster.settings import Settings
from urgency_dagster_tests.child_process import PATIENCE_S, child_process

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
OF_CODE_SERVER = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/tmp/code.sock"})}


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    with psutil.Popen(SLEEP) as process:
        yield process
        if process.poll() is None:
            process.kill()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def job(settings: Settings) -> dg.JobDefinition:
    return build_definitions(settings).resolve_job_def("urgency_job")


def started(instance: dg.DagsterInstance, job: dg.JobDefinition, process: psutil.Process, **tags: str) -> str:
    """A run that a process executes."""
    named = {PROCESS_TAG: json.dumps([process_identity(process), None]), **tags}
    return instance.create_run_for_job(job, tags=named, status=dg.DagsterRunStatus.STARTED).run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.slow
def test_the_runs_of_a_code_server_end_with_dev(
    instance: dg.DagsterInstance, job: dg.JobDefinition, sleeper: psutil.Popen
) -> None:
    run_id = started(instance, job, sleeper, **OF_CODE_SERVER)
    end_runs(instance)
    assert sleeper.wait(timeout=PATIENCE_S) == -9
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    messages = [str(entry.get_dagster_event().message) for entry in instance.all_logs(run_id)]
    assert any(STOPPED in message for message in messages)


@pytest.mark.slow
def test_a_run_command_goes_on_without_dev(
    instance: dg.DagsterInstance, job: dg.JobDefinition, sleeper: psutil.Popen
) -> None:
    run_id = started(instance, job, sleeper)
    end_runs(instance)
    assert sleeper.poll() is None
    assert status(instance, run_id) == dg.DagsterRunStatus.STARTED


def test_a_run_that_ended_before_its_process_keeps_its_result(
    instance: dg.DagsterInstance, job: dg.JobDefinition
) -> None:
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_canceled(run)
    assert not report_killed(instance, run, "gone")
    assert status(instance, run.run_id) == dg.DagsterRunStatus.CANCELED


@pytest.mark.slow
def test_the_processes_of_a_killed_dev_are_ended(tmp_path: Path, sleeper: psutil.Popen) -> None:
    with child_process(SLEEP) as other:
        host, pid, _ = json.loads(process_identity(psutil.Process(other.pid)))
        reused = json.dumps([host, pid, 1.0])
        (tmp_path / SERVER_FILE).write_text(json.dumps({"processes": [process_identity(sleeper), reused]}))
        _end_leftovers(tmp_path)
        assert sleeper.wait(timeout=PATIENCE_S) == -9
        assert other.poll() is None
        other.kill()
