"""The limit of the GPU pool, and one GPU for each step. The GPUs exist by name only."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import dagster as dg
import pytest

from urgency_dagster.operations.gpus import CUDA_VARIABLE, follow_gpus, gpu_limit, visible_gpus
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.settings import Settings

DRIVER = """#!/bin/sh
echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-0000-0000-0000-000000000000)"
echo "  MIG 1g.10gb     Device  0: (UUID: MIG-00000000-0000-0000-0000-000000000000)"
echo "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-1111-1111-1111-111111111111)"
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with the program of the GPU's driver, which lists two GPUs."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(DRIVER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv(CUDA_VARIABLE, raising=False)
    return monkeypatch


def loaded(root: Path, **environment: str) -> Settings:
    return Settings.load(root, environment)


@pytest.mark.slow
def test_the_gpus_are_those_of_the_driver(driver: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert visible_gpus() == ["0", "1"]
    assert gpu_limit(loaded(tmp_path)) == 2
    assert gpu_limit(loaded(tmp_path, URGENCY_GPUS="5")) == 5


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [("", []), ("2", ["2"]), ("0, 3", ["0", "3"]), ("0,-1,1", ["0"]), ("GPU-1a,1", ["GPU-1a", "1"])],
)
def test_cuda_visible_devices_chooses_among_them(driver: pytest.MonkeyPatch, variable: str, gpus: list[str]) -> None:
    driver.setenv(CUDA_VARIABLE, variable)
    assert visible_gpus() == gpus


def test_without_a_gpu_one_step_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CUDA_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    assert visible_gpus() == []
    assert gpu_limit(loaded(tmp_path)) == 1


class TestPool:
    """The limit of the pool in a real Dagster storage."""

    def limits(self, instance: dg.DagsterInstance, *found: int) -> list[int | None]:
        """The limit of the pool after each start of a run with so many GPUs."""
        limits = []
        for gpus in found:
            follow_gpus(instance, gpus)
            limits.append(instance.event_log_storage.get_concurrency_info(GPU_POOL).limit)
        return limits

    def test_it_follows_the_gpus(self, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert self.limits(instance, 1, 4, 4, 2) == [1, 4, 4, 2]

    def test_the_limit_of_an_earlier_version_follows_too(self, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            instance.event_log_storage.set_concurrency_slots(GPU_POOL, 1)
            assert self.limits(instance, 2) == [2]

    def test_a_limit_that_the_user_set_stays(self, tmp_path: Path) -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            instance.event_log_storage.set_concurrency_slots(GPU_POOL, 3)
            assert self.limits(instance, 2) == [3]
            instance.event_log_storage.delete_concurrency_limit(GPU_POOL)
            assert self.limits(instance, 2) == [2]
            instance.event_log_storage.set_concurrency_slots(GPU_POOL, 0)
            assert self.limits(instance, 2, 4) == [0, 0]

    def test_runs_that_start_at_the_same_moment_agree(self, tmp_path: Path) -> None:
        for number in range(5):
            home = tmp_path / str(number)
            home.mkdir()
            with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
                instances = [stack.enter_context(dg.DagsterInstance.local_temp(str(home))) for _ in range(8)]
                together = Barrier(len(instances))

                def start_run(instance: dg.DagsterInstance, together: Barrier = together) -> None:
                    together.wait()
                    follow_gpus(instance, 2)

                list(threads.map(start_run, instances))
                assert instances[0].event_log_storage.get_concurrency_info(GPU_POOL).slot_count == 2

    def test_a_storage_without_pools_is_left_alone(self) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            follow_gpus(instance, 2)


STEP = """
import os, sys, time
from pathlib import Path
from urgency_dagster.operations.gpus import take_gpu
from urgency_dagster.paths import StoragePaths
take_gpu(StoragePaths(Path(sys.argv[1])), sys.argv[2], lambda line: print(line, flush=True))
print("visible", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts step processes that hold their GPU until they are killed, at the latest after the test."""
    with ExitStack() as stack:

        def start_step(device: str, visible: str = "0,1") -> "subprocess.Popen[str]":
            command = [sys.executable, "-c", STEP, str(tmp_path), device]
            env = {**os.environ, CUDA_VARIABLE: visible}
            process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start_step


def said(process: subprocess.Popen[str], lines: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline().strip() for _ in range(lines)]


@pytest.mark.slow
def test_each_step_has_a_gpu_of_its_own(start: Start) -> None:
    first = start("auto")
    assert said(first, 2) == ["this step uses GPU 0 alone", "visible 0"]
    assert said(start("cuda"), 2) == ["this step uses GPU 1 alone", "visible 1"]
    third = start("auto")
    assert said(third, 1) == ["waiting for a GPU: 2 of 2 are in use by other steps"]
    first.kill()
    assert said(third, 2) == ["this step uses GPU 0 alone", "visible 0"]


@pytest.mark.slow
def test_a_numbered_device_keeps_its_number(start: Start) -> None:
    assert said(start("cuda:0"), 2) == ["this step uses GPU 0 alone", "visible 0,1"]
    assert said(start("auto"), 2) == ["this step uses GPU 1 alone", "visible 1"]


@pytest.mark.slow
@pytest.mark.parametrize(("device", "visible"), [("cpu", "0,1"), ("auto", "0"), ("auto", ""), ("cuda:7", "0,1")])
def test_nothing_changes_without_a_choice(start: Start, device: str, visible: str) -> None:
    assert said(start(device, visible), 1) == [f"visible {visible}".strip()]
