"""The rule behind `make quick`: a test without the marker `slow` starts no process."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from urgency_dagster_tests.conftest import guard


def start_program() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def start_worker() -> None:
    multiprocessing.get_context("spawn").Process(target=start_program).start()


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


@pytest.mark.parametrize("start", [start_program, start_worker, fork])
def test_a_process_is_refused(start: Callable[[], None]) -> None:
    with guard.closed(), pytest.raises(pytest.fail.Exception, match="mark the test `slow`"):
        start()


@pytest.mark.slow
def test_an_open_guard_refuses_nothing() -> None:
    start_program()


def test_questions_about_the_platform_are_allowed() -> None:
    with guard.closed():
        subprocess.run(["uname"], check=True, capture_output=True)
