"""Interrupts during a run, in a process of its own whose signals no other code handles."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
from dagster._utils.interrupts import capture_interrupts
from urgency_dagster.operations.interrupts import recorded_interrupts

with recorded_interrupts() as received, capture_interrupts():
    {statement}
print(*received, "then", signal.set_wakeup_fd(-1))
"""


def output(statement: str) -> str:
    """The signals that the process received, and the wake-up file descriptor afterwards."""
    program = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    return subprocess.run(program, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_dagster_catches_is_recorded(number: signal.Signals) -> None:
    assert output(f"os.kill(os.getpid(), {number:d})") == f"{number:d} then -1"


@pytest.mark.slow
def test_nothing_is_recorded_without_a_signal() -> None:
    assert output("pass") == "then -1"
