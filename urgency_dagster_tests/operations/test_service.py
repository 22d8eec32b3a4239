"""A process that is started again when it ends, and a process that ends with another one."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from urgency_dagster.errors import ServiceError
from urgency_dagster.operations.processes import process_identity
from urgency_dagster.operations.service import MAX_FAILED_STARTS, Service
from urgency_dagster_tests.child_process import PATIENCE_S, child_process

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]

STEP = """
import subprocess, sys, time
from urgency_dagster.operations.processes import end_with
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
end_with(sys.argv[1], lambda: False)
print(worker.pid, flush=True)
time.sleep(600)
"""
"""A step with a worker process of its own."""


@pytest.mark.slow
def test_a_killed_process_starts_again(tmp_path: Path) -> None:
    said: list[str] = []
    service = Service("daemon", SLEEP, tmp_path)
    assert service.keep(said.append)
    assert not service.keep(said.append)
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    assert not service.keep(said.append)  # its pause
    assert said == ["the daemon was ended by signal 9; it starts again in 1 s"]
    time.sleep(1)
    assert service.keep(said.append)
    service.process.kill()
    service.process.wait()


@pytest.mark.slow
def test_a_process_starts_again_when_its_file_changes(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "options.yaml"
    service = Service("code server", SLEEP, tmp_path, file)
    for content in (None, "a: 1", "a: 2", None):
        if content:
            file.write_text(content)
        else:
            file.unlink(missing_ok=True)
        assert service.keep(said.append), content
        assert not service.keep(said.append), content
    assert said == [f"{file} changed; the code server starts again and reads it"] * 3
    assert service.process is not None
    service.process.kill()
    service.process.wait()


@pytest.mark.slow
def test_a_process_that_never_starts_is_given_up_with_its_last_lines(tmp_path: Path) -> None:
    said: list[str] = []
    service = Service("web server", [sys.executable, "-c", "raise SystemExit('port 3000 is taken')"], tmp_path)
    with pytest.raises(ServiceError, match="port 3000 is taken"):
        for _ in range(MAX_FAILED_STARTS):
            service.next_start = 0.0
            service.keep(said.append)
            assert service.process is not None
            service.process.wait()
            service.keep(said.append)
    assert [line.split()[-2] for line in said] == ["1", "2", "4", "8"]


@pytest.mark.slow
def test_a_step_ends_with_the_process_of_its_run() -> None:
    with child_process(SLEEP) as run:
        identity = process_identity(psutil.Process(run.pid))
        with child_process([sys.executable, "-c", STEP, identity], stdout=subprocess.PIPE) as step:
            assert step.stdout is not None
            worker = psutil.Process(int(step.stdout.readline()))
            time.sleep(2)
            assert step.poll() is None
            run.kill()
            run.wait()
            assert step.wait(timeout=PATIENCE_S) == -signal.SIGKILL
            deadline = time.monotonic() + PATIENCE_S
            with suppress(psutil.NoSuchProcess):
                while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:  # it is killed, but ends later
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
