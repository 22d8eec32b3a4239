"""Where steps run: one at a time on the accelerator over all runs, and as jobs on a real Ray cluster."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.defs import executors
from urgency_dagster.defs.executors import executor, local_executor
from urgency_dagster.defs.steps import NO_MEMORY_LEFT
from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.gpus import follow_gpus
from urgency_dagster.operations.placement import GPU_POOL, GPU_TAGS, RAY_CONFIG, check_ray_cluster
from urgency_dagster.operations.pool_slots import LOCK
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster_tests.child_process import child_process
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.conftest import COMMAND, environment, executed_steps, instance_of, ray_run
from urgency_dagster_tests.defs.ray_cluster import BIN, RayCluster

STARTED_AND_ENDED = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS}


def test_the_setting_chooses_the_executor(tmp_path: Path) -> None:
    chosen = [
        executor(Settings.load(tmp_path, environment={"URGENCY_EXECUTOR": name})).name for name in ("local", "ray")
    ]
    assert chosen == ["multiprocess", "ray"]


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
def killed_once(context: dg.AssetExecutionContext) -> None:
    """An asset whose first process is killed."""
    if context.retry_number == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def killed_job() -> dg.JobDefinition:
    """The job of `killed_once` with the executor of this machine.

    A step may be forked from a process that an earlier test started, so its environment says nothing.
    """
    chosen = local_executor(Settings.load(Path(__file__).parent, environment={}))
    return dg.Definitions([killed_once], jobs=[dg.define_asset_job("killed")], executor=chosen).resolve_job_def(
        "killed"
    )


@pytest.mark.slow
def test_a_killed_step_is_repeated_and_too_little_memory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    counted = count()
    monkeypatch.setattr(executors, "memory_kills", lambda: next(counted))
    with dg.DagsterInstance.get() as instance:
        result = dg.execute_job(dg.reconstructable(killed_job), instance=instance)
        assert result.success
        events = [(event.event_type_value, str(event.message)) for event in result.all_events]
    assert [kind for kind, _ in events if kind in ("STEP_UP_FOR_RETRY", "STEP_SUCCESS")] == [
        "STEP_UP_FOR_RETRY",
        "STEP_SUCCESS",
    ]
    assert any(message.startswith(NO_MEMORY_LEFT) for _, message in events)


def step_times(root: Path, step: str) -> list[tuple[float, float]]:
    """Start and end of every execution of a step, by start."""
    times = []
    with instance_of(root) as instance:
        for run in instance.get_runs():
            logs = instance.all_logs(run.run_id, of_type=STARTED_AND_ENDED)
            events = [entry for entry in logs if entry.step_key == step]
            if len(events) == 2:
                times.append((events[0].timestamp, events[1].timestamp))
    return sorted(times)


LAUNCH = """
import sys, dagster as dg
from urgency_dagster.definitions import calls
with dg.DagsterInstance.get() as instance:
    result = dg.execute_job(dg.reconstructable(calls), instance=instance, tags={"dagster/partition": sys.argv[1]})
sys.exit(not result.success)
"""


def steps_of_pool(instance: dg.DagsterInstance) -> int:
    """The steps that hold a slot of the GPU pool or wait for one."""
    return len(instance.event_log_storage.get_concurrency_info(GPU_POOL).pending_steps)


@pytest.mark.slow
def test_accelerated_steps_of_two_runs_take_turns(storage_root: Path, forked: CommandServer) -> None:
    # A first look registers the partitions; nothing lands for attention, so nothing is made.
    assert forked.run(storage_root, "--only", "urgency").returncode == 0
    home = {"DAGSTER_HOME": str(StoragePaths(storage_root).dagster_home)}
    env = {**environment(storage_root, **home), **Settings.load(storage_root, environment={}).environment()}
    with ExitStack() as stack:
        instance = stack.enter_context(instance_of(storage_root))
        follow_gpus(instance, 1)
        # The only slot is taken, so that both runs wait for it at the same moment.
        assert instance.event_log_storage.claim_concurrency_slot(GPU_POOL, "test", "test").is_claimed
        runs = [
            stack.enter_context(child_process([BIN / "python", "-c", LAUNCH, archive], env=env))
            for archive in ("T_광주_구급", "T_서울_화재")
        ]
        while steps_of_pool(instance) < 1 + len(runs):
            assert [run.poll() for run in runs] == [None, None]
            time.sleep(0.2)
        assert "utterance_embeddings" not in "".join(executed_steps(storage_root))
        instance.event_log_storage.free_concurrency_slot_for_step("test", "test")
        assert [run.wait(timeout=500) for run in runs] == [0, 0]
    (_, first_end), (second_start, _) = step_times(storage_root, "utterance_embeddings")
    assert second_start >= first_end
    assert (StoragePaths(storage_root).dagster_home / LOCK).exists()  # the runs took their slots one at a time


LIST_JOBS = """
import sys
from ray.job_submission import JobSubmissionClient
print(*(job.metadata["dagster/op"] for job in JobSubmissionClient(sys.argv[1]).list_jobs()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("ray_cluster", [["--num-gpus=0"]], indirect=True)
def test_a_cluster_without_an_accelerator_is_refused(storage_root: Path, ray_cluster: RayCluster) -> None:
    done = ray_run(storage_root, ray_cluster)
    assert done.returncode == 1
    assert "no living node" in done.stderr
    ray_cluster.kill(ray_cluster.add_node("--num-gpus=1"))
    ray_cluster.wait_for_nodes(1)
    assert any(node["state"] == "DEAD" for node in ray_cluster.nodes())
    done = ray_run(storage_root, ray_cluster)
    assert done.returncode == 1
    assert "no living node" in done.stderr  # though a dead node keeps its GPU in Ray's list
    assert executed_steps(storage_root) == []


@pytest.mark.slow
def test_a_cluster_that_refuses_the_token_is_one_sentence(storage_root: Path, ray_cluster: RayCluster) -> None:
    missing = ray_run(storage_root, ray_cluster, RAY_AUTH_TOKEN_PATH=str(storage_root / "nothing"))
    wrong = ray_run(storage_root, ray_cluster, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_TOKEN="f" * 64)
    for done, state in ((missing, "is missing"), (wrong, "is another one")):
        assert done.returncode == 1
        assert done.stdout == ""
        sentence = f"Error: the token of this process for the Ray cluster at {ray_cluster.address} {state};"
        assert done.stderr.startswith(sentence), done.stderr
        assert len(done.stderr.splitlines()) == 1


JOIN = """
import sys
from urgency_dagster.clusters import connected
from urgency_dagster.errors import SettingsError
try:
    with connected(sys.argv[1]):
        pass
except SettingsError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_step_that_joins_a_cluster_with_a_wrong_token_says_so(ray_cluster: RayCluster, tmp_path: Path) -> None:
    variables: list[dict[str, str]] = [{"RAY_AUTH_TOKEN_PATH": "", "HOME": str(tmp_path)}, {"RAY_AUTH_TOKEN": "f" * 64}]
    with ExitStack() as stack:
        joining = [
            stack.enter_context(
                child_process(
                    [BIN / "python", "-c", JOIN, ray_cluster.gcs],
                    env={**os.environ, "RAY_AUTH_MODE": "token", **changed},
                    stdout=subprocess.PIPE,
                )
            )
            for changed in variables
        ]
        missing, wrong = (process.communicate()[0].strip() for process in joining)
    sentence = f"the token of this process for the Ray cluster at {ray_cluster.gcs}"
    assert missing.startswith(f"{sentence} is missing;")
    assert wrong.startswith(f"{sentence} is another one;")


@pytest.mark.slow
def test_a_cluster_without_a_free_processor_is_said_to_be_waited_for(
    storage_root: Path, ray_cluster: RayCluster
) -> None:
    ray_cluster.occupy(cpus=3)
    env = environment(storage_root, URGENCY_EXECUTOR="ray", RAY_ADDRESS=ray_cluster.address, **ray_cluster.variables)
    command = [str(COMMAND), "run", "--only", "calls"]
    expected = "waiting for Ray: call_archive needs 1 CPU; free: 0 of 3 CPU"
    with child_process(command, env=env, stdout=subprocess.PIPE) as run:
        assert run.stdout
        waiting = next(line for line in run.stdout if "waiting" in line)
        run.send_signal(signal.SIGINT)
        assert waiting == f"  {expected}\n"
        assert "waiting" not in run.stdout.read()  # it is told sparingly
    with instance_of(storage_root) as instance:
        (made,) = instance.get_runs()
        logs = instance.all_logs(made.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        told = [entry.step_key for entry in logs if entry.get_dagster_event().message == expected]
    assert told == ["call_archive"]


@pytest.mark.slow
def test_every_step_is_a_job_on_the_ray_cluster(storage_root: Path, ray_cluster: RayCluster) -> None:
    landing = StoragePaths(storage_root).landing_calls
    for zip_file in (*landing.rglob("T?_광주_구급.zip"), *landing.rglob("T?_서울_화재.zip")):
        zip_file.unlink()
    done = ray_run(storage_root, ray_cluster, "--only", "calls")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = executed_steps(storage_root)
    assert len(steps) == 6
    listing = [str(BIN / "python"), "-c", LIST_JOBS, ray_cluster.address]
    # In a process of its own: Ray reads its token once, and this process may have another one.
    env = {**os.environ, **ray_cluster.variables}
    jobs = subprocess.run(listing, env=env, capture_output=True, text=True, check=True).stdout
    submitted = set(jobs.split())
    assert submitted == {step.partition("[")[0] for step in steps}
    assert GPU_TAGS[RAY_CONFIG] == {"num_cpus": 1, "num_gpus": 1}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, "RAY_ADDRESS is ''; expected the address of a Ray dashboard"),
        ("127.0.0.1:6379", "RAY_ADDRESS is '127.0.0.1:6379'"),
        ("http://127.0.0.1:9", "no Ray cluster answers at http://127.0.0.1:9"),
    ],
)
def test_a_cluster_that_is_not_there_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch, address: str | None, message: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SettingsError, match=message):
        check_ray_cluster()
