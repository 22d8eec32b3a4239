"""Sees which files and folders Python opens, just before it does, so that a test can count them or interfere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_acts: list[Callable[[Path], None]] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _acts or event not in ("open", "os.scandir") or not isinstance(args[0], str | os.PathLike):
        return
    acts, _acts[:] = _acts[:], []  # what an act opens itself is not seen
    try:
        for act in acts:
            act(Path(args[0]))
    finally:
        _acts[:] = acts


@cache
def _installed() -> None:
    sys.addaudithook(_hook)  # cannot be taken back, so there is one for all tests


@contextmanager
def watching(act: Callable[[Path], None]) -> Iterator[None]:
    """Calls `act` with every path that is opened or listed in the block."""
    _installed()
    _acts.append(act)
    try:
        yield
    finally:
        _acts.remove(act)
