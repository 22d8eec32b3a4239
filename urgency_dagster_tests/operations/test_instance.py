"""The Dagster home of a storage root, and the runs of dead processes."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from urgency_dagster.definitions import build_definitions
from urgency_dagster.operations.environment import STEP_ENVIRONMENT
from urgency_dagster.operations.gpus import CUDA_VARIABLE, follow_gpus
from urgency_dagster.operations.instance import (
    FORMER_PROCESS_TAG,
    FORMER_YAML,
    prepare_environment,
    release_orphans,
)
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.operations.processes import PROCESS_TAG, is_alive, process_identity, process_tags
from urgency_dagster.settings import Settings

LOCATION_TAG = "dagster/code_location"
"""Run tag of Dagster: the code location. Runs of the UI and the daemon have it."""

DEAD = json.dumps([socket.gethostname(), 999_999_999, 1.0])
"""The identity of a process that does not exist."""

GONE = {PROCESS_TAG: json.dumps([DEAD, None])}
"""The tag of a run that this process executed."""


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment without the variables of the project. It is restored afterwards."""
    for name in (*STEP_ENVIRONMENT, "DAGSTER_HOME", *Settings.load(environment={}).environment()):
        monkeypatch.setenv(name, "before")
        monkeypatch.delenv(name)
    monkeypatch.setenv("URGENCY_EXECUTOR", "local")
    return monkeypatch


def test_a_new_home_has_no_telemetry(clean: pytest.MonkeyPatch, settings: Settings) -> None:
    prepare_environment(settings)
    home = Path(os.environ["DAGSTER_HOME"])
    assert home == settings.storage / "dagster_home"
    assert yaml.safe_load((home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled


def test_the_choices_of_the_user_stay(clean: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "my_home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    clean.setenv("DAGSTER_HOME", str(home))
    clean.setenv("RAY_AUTH_MODE", "disabled")
    prepare_environment(settings)
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: true}\n"
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert not (settings.storage / "dagster_home").exists()


def test_the_file_of_an_earlier_version_is_renewed(clean: pytest.MonkeyPatch, settings: Settings) -> None:
    file = settings.storage / "dagster_home" / "dagster.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(FORMER_YAML))
    prepare_environment(settings)
    with dg.DagsterInstance.get() as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert instance.run_launcher.supports_check_run_worker_health


def concurrent_runs() -> int:
    with dg.DagsterInstance.get() as instance:
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    return queue.max_concurrent_runs


def test_as_many_runs_at_once_as_gpus_and_one_more(clean: pytest.MonkeyPatch, settings: Settings) -> None:
    runs = []
    for visible in ("", "0,1,2", "0", "0,1"):
        clean.setenv(CUDA_VARIABLE, visible)
        prepare_environment(settings)
        runs.append(concurrent_runs())
    assert runs == [2, 4, 2, 3]
    file = settings.storage / "dagster_home" / "dagster.yaml"
    file.write_text(file.read_text().replace("max_concurrent_runs: 3", "max_concurrent_runs: 7"))
    prepare_environment(settings)
    assert concurrent_runs() == 7


def test_the_number_of_runs_stays_while_ray_does_not_answer(clean: pytest.MonkeyPatch, settings: Settings) -> None:
    clean.setenv(CUDA_VARIABLE, "0,1,2")
    prepare_environment(settings)
    clean.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    prepare_environment(replace(settings, executor="ray"))
    assert concurrent_runs() == 4


class TestProcessIdentity:
    def test_this_process_is_alive(self) -> None:
        assert is_alive(process_identity())

    @pytest.mark.slow
    def test_an_ended_process_is_not_alive(self) -> None:
        code = "from urgency_dagster.operations.processes import process_identity; print(process_identity())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert not is_alive(done.stdout.strip())

    def test_another_process_with_the_same_id_is_not_alive(self) -> None:
        assert not is_alive(json.dumps([socket.gethostname(), os.getpid(), 1.0]))

    def test_a_process_on_another_host_counts_as_alive(self) -> None:
        assert is_alive(json.dumps(["another-host", os.getpid(), 1.0]))


class TestOrphans:
    @pytest.fixture
    def job(self, settings: Settings) -> dg.JobDefinition:
        return build_definitions(settings).resolve_job_def("urgency_job")

    def open_run(self, instance: dg.DagsterInstance, job: dg.JobDefinition, **tags: str) -> str:
        return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id

    def status(self, instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def test_only_runs_of_dead_processes_are_marked_as_failed(self, job: dg.JobDefinition, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            orphan = self.open_run(instance, job, **GONE)
            living = self.open_run(instance, job, **process_tags())
            assert release_orphans(instance) == 1
            assert self.status(instance, orphan) == dg.DagsterRunStatus.FAILURE
            assert self.status(instance, living) == dg.DagsterRunStatus.STARTED

    @pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    def test_a_run_that_has_not_named_its_process_is_left_to_run_monitoring(
        self, job: dg.JobDefinition, tmp_path: Path, status: dg.DagsterRunStatus
    ) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            instance.create_run_for_job(job, tags={LOCATION_TAG: "urgency_dagster"}, status=status)
            assert release_orphans(instance) == 0

    def test_a_run_that_was_killed_before_its_start_is_an_orphan(self, job: dg.JobDefinition, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            instance.create_run_for_job(job, tags=GONE, status=dg.DagsterRunStatus.NOT_STARTED)
            assert release_orphans(instance) == 1

    def test_a_killed_run_of_an_earlier_version_is_an_orphan(self, job: dg.JobDefinition, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            self.open_run(instance, job, **{FORMER_PROCESS_TAG: DEAD})
            assert release_orphans(instance) == 1

    def test_a_run_in_the_queue_waits_for_the_next_server(self, job: dg.JobDefinition, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            location = RegisteredCodeLocationOrigin("urgency_dagster")
            waiting = instance.create_run_for_job(
                job,
                tags=GONE,
                status=dg.DagsterRunStatus.QUEUED,
                remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name),
            )
            assert release_orphans(instance) == 0
            assert self.status(instance, waiting.run_id) == dg.DagsterRunStatus.QUEUED

    def test_a_repeated_run_does_not_inherit_the_dead_process(self, job: dg.JobDefinition, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            self.open_run(instance, job, **{PROCESS_TAG: json.dumps([DEAD, "the run that was killed"])})
            assert release_orphans(instance) == 0

    def test_an_orphan_frees_its_slot_in_the_pool(self, job: dg.JobDefinition, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            follow_gpus(instance, 1)
            storage = instance.event_log_storage
            run_id = self.open_run(instance, job, **GONE)
            assert storage.claim_concurrency_slot(GPU_POOL, run_id, "urgency_model").is_claimed
            assert not storage.claim_concurrency_slot(GPU_POOL, "another", "urgency_model").is_claimed
            release_orphans(instance)
            assert storage.get_concurrency_info(GPU_POOL).active_slot_count == 0
