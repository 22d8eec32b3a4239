"""A place in storage with a model that is taken up when it changes, while the former one goes on answering."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from urgency_dagster.errors import UrgencyError
from urgency_dagster.writing import file_hash

Model = TypeVar("Model")

RETRY_S = 30.0
"""Seconds until unchanged files are tried again, because what they need may have come, such as the speech model."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileState:
    """What tells a file from the one that was there before, without reading it."""

    path: Path
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


Snapshot = tuple[FileState, ...]
"""The files of a model at one moment; empty if there is none."""


class ModelSlot(Generic[Model]):
    """A place in storage, and the model that was loaded from it last.

    A model is loaded after two looks have found the same files, and it is dropped if they changed meanwhile: a folder
    that somebody is copying is never taken up in part. The same content again is not loaded again.

    Attributes:
        name: the name of the place in the log.
        model: the model that answers; None before the first.
        error: why the files of now do not answer; None if they do.
        loads: number of models that were taken up.

    Args:
        name: see above.
        files: lists the files of the model. Files that are missing may be listed.
        load: loads the model and asks it something.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        name: str,
        files: Callable[[], Sequence[Path]],
        load: Callable[[], Model],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._files, self._load, self._clock = name, files, load, clock
        self.model: Model | None = None
        self.error: str | None = None
        self.loads = 0
        self._content: str | None = None
        self._taken: Snapshot | None = None
        self._seen: Snapshot | None = None
        self._retry_at = 0.0

    def look(self) -> bool:
        """Looks at the files, and takes up what is new. It blocks while a model is loaded.

        Returns:
            Whether another model answers than before.
        """
        snapshot, before = snapshot_of(self._files()), self._seen
        self._seen = snapshot
        if snapshot == self._taken and not self._must_retry():
            return False
        if before is not None and snapshot != before:
            return False  # somebody may be writing: the next look decides
        return self._take_up(snapshot)

    def _must_retry(self) -> bool:
        return self.error is not None and self._clock() >= self._retry_at

    def _take_up(self, snapshot: Snapshot) -> bool:
        try:
            content = content_hash(snapshot)
            model = None if content == self._content else self._load()
        except Exception as error:  # noqa: BLE001 - whatever damaged files cause, the former model goes on answering
            self._refuse(snapshot, error)
            return False
        if snapshot_of(self._files()) != snapshot:
            return False
        self._taken, self.error = snapshot, None
        if model is None:
            return False
        self.model, self._content = model, content
        self.loads += 1
        _log.info("%s: took up the model %s", self.name, content[:12])
        return True

    def _refuse(self, snapshot: Snapshot, error: Exception) -> None:
        self._taken, self._retry_at = snapshot, self._clock() + RETRY_S
        reason = str(error) if isinstance(error, UrgencyError) else f"{type(error).__name__} while it was loaded"
        if reason != self.error:
            state = "the former model goes on answering" if self.model else "there is no model"
            _log.warning("%s: %s; %s", self.name, reason, state)
        self.error = reason


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and its subfolders. Folders that vanish meanwhile have none."""
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def snapshot_of(files: Sequence[Path]) -> Snapshot:
    """The states of files, in the order of their paths. Files that do not exist are left out."""
    return tuple(state for file in sorted(files) if (state := _state(file)))


def _state(file: Path) -> FileState | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return FileState(file, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def content_hash(snapshot: Snapshot) -> str:
    """The SHA-256 of the names and the contents of some files.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for state in snapshot:
        digest.update(f"{state.path.parent.name}/{state.path.name}\0{file_hash(state.path)}\0".encode())
    return digest.hexdigest()
