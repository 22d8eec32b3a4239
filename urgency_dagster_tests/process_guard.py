"""Refuses new processes in `make quick`, so that it stays quick: tests that start processes are marked `slow`."""

import _posixsubprocess
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

EVENTS = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system", "os.spawn"}
"""Audit events of Python that start a process. `multiprocessing` raises none: what it calls is wrapped."""

MINOR = {"avconv", "cc", "ffmpeg", "file", "gcc", "ld", "ldconfig", "lscpu", "objdump", "uname"}
"""Programs that libraries ask about the platform: a few milliseconds each."""


class ProcessGuard:
    """Refuses new processes while it is closed. One guard serves a process of pytest."""

    def __init__(self) -> None:
        self._closed = False
        self._pid = os.getpid()
        sys.addaudithook(self._hear)
        _posixsubprocess.fork_exec = self._guarded(_posixsubprocess.fork_exec)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Refuses new processes for the length of the block."""
        self._closed = True
        try:
            yield
        finally:
            self._closed = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._closed and event in EVENTS and not _is_minor(arguments):
            self._refuse(event)

    def _guarded(self, start: Callable[..., int]) -> Callable[..., int]:
        def guarded(*arguments: Any) -> int:
            if self._closed:
                self._refuse("multiprocessing")
            return start(*arguments)

        return guarded

    def _refuse(self, how: str) -> None:
        if os.getpid() == self._pid:
            pytest.fail(f"a process was started ({how}); expected none: mark the test `slow`, or work in process")


def _is_minor(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments) and Path(os.fsdecode(arguments[0] or "")).name in MINOR
