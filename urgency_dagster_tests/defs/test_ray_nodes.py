"""Two Ray nodes with a GPU each: two archives embed at once, and a node that dies costs its step only."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.operations.instance import dagster_yaml
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster_tests.child_process import child_process
from urgency_dagster_tests.defs.conftest import environment, instance_of
from urgency_dagster_tests.defs.materialising import materialise
from urgency_dagster_tests.defs.ray_cluster import RayCluster

ARCHIVES = ("T_광주_구급", "T_서울_화재")
STEP = "utterance_embeddings"
STARTS = ("STEP_START", "STEP_RESTARTED")
TYPES = {
    *(dg.DagsterEventType(name) for name in STARTS),
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
    dg.DagsterEventType.STEP_FAILURE,
}
PATIENCE_S = 240

EMBED = f"""
import sys, dagster as dg
from urgency_dagster.definitions import calls
with dg.DagsterInstance.get() as instance:
    job, tags = dg.reconstructable(calls), {{"dagster/partition": sys.argv[1]}}
    result = dg.execute_job(job, instance=instance, tags=tags, asset_selection=[dg.AssetKey("{STEP}")])
sys.exit(not result.success)
"""


def step_events(instance: dg.DagsterInstance) -> dict[str, list[tuple[str, float]]]:
    """Names and times of the events of the step, by archive."""
    events: dict[str, list[tuple[str, float]]] = {}
    for run in instance.get_runs(dg.RunsFilter(job_name="calls_job")):
        logs = instance.all_logs(run.run_id, of_type=TYPES)
        own = [
            (entry.get_dagster_event().event_type_value, entry.timestamp) for entry in logs if entry.step_key == STEP
        ]
        events[run.tags["dagster/partition"]] = own
    return events


def at_work(instance: dg.DagsterInstance) -> list[str]:
    """The archives whose step has started and not ended."""
    return [archive for archive, events in step_events(instance).items() if events and events[-1][0] in STARTS]


def intervals(events: list[tuple[str, float]]) -> Iterator[tuple[float, float]]:
    """Start and end of each attempt."""
    for (name, start), (_end, end) in pairwise(events):
        if name in STARTS:
            yield start, end


def unpacked(settings: Settings) -> Path:
    """Makes what the step needs, in this process, and returns Dagster's home."""
    home = StoragePaths(settings.storage).dagster_home
    home.mkdir()
    (home / "dagster.yaml").write_text(dagster_yaml(2))
    with instance_of(settings.storage) as instance:
        for archive in ARCHIVES:
            materialise(settings, "call_recordings", "utterances", archive=archive, instance=instance)
    return home


@pytest.mark.slow
def test_two_archives_embed_at_once_and_a_dead_node_costs_its_step_only(
    settings: Settings, ray_cluster: RayCluster
) -> None:
    home = unpacked(settings)
    second_node = ray_cluster.add_node("--num-gpus=1")
    variables = {"URGENCY_EXECUTOR": "ray", "RAY_ADDRESS": ray_cluster.address, "DAGSTER_HOME": str(home)}
    env = environment(settings.storage, **ray_cluster.variables, **variables)
    with ExitStack() as stack, instance_of(settings.storage) as instance:
        runs = [
            stack.enter_context(child_process([sys.executable, "-c", EMBED, archive], env=env)) for archive in ARCHIVES
        ]
        deadline = time.monotonic() + PATIENCE_S
        while len(together := at_work(instance)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        jobs = {
            job["metadata"]["dagster/run-id"]: job["driver_node_id"] for job in ray_cluster.jobs() if job["metadata"]
        }
        ray_cluster.kill(second_node)
        assert instance.event_log_storage.get_concurrency_info(GPU_POOL).limit == 2
        assert [run.wait(PATIENCE_S) for run in runs] == [0, 0]
        events = step_events(instance)
    assert len(together) == 2  # at once on two nodes, though each run counts for itself
    assert len(set(jobs.values())) == 2
    attempts = {archive: [name for name, _ in events[archive]] for archive in ARCHIVES}
    again = ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"]
    assert sorted(attempts.values(), key=len) == [["STEP_START", "STEP_SUCCESS"], again]
    # Never two on one GPU: on the first node, the only one that completed a step, they took turns.
    done = sorted(list(intervals(of_archive))[-1] for of_archive in events.values())
    assert all(start >= end for (_, end), (start, _) in pairwise(done))
