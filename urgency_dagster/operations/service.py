"""A process that is started again when it ends."""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.errors import ServiceError
from urgency_dagster.operations.console import Echo

FIRST_SECONDS = 20.0
"""A process that ends within so many seconds has failed to start."""

MAX_FAILED_STARTS = 5
"""Failed starts in a row after which a service gives up."""

MAX_PAUSE_S = 30.0
"""Maximum seconds before a start."""

SHOWN_LINES = 5
"""Last lines of the output that the error shows."""


FileState = tuple[int, int] | None
"""Size and time of a file, or None without the file."""


@dataclass
class Service:
    """One process with its output in a file of a folder.

    Attributes:
        reads: a file that the process reads when it starts. It starts again when that file changes.
    """

    name: str
    command: list[str]
    folder: Path
    reads: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    failed_starts: int = 0
    next_start: float = 0.0
    _started: float = field(default=0.0, repr=False)
    _read: FileState = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """The output of the process since its last start."""
        return self.folder / f"{self.name.replace(' ', '_')}.log"

    def keep(self, echo: Echo) -> bool:
        """Starts the process if it does not run and its pause is over, or if the file that it reads changed.

        Returns:
            Whether it was started.

        Raises:
            ServiceError: it ended right after its start, `MAX_FAILED_STARTS` times in a row.
        """
        if self.process is not None and self.process.poll() is not None:
            self._note_end(self.process.returncode, echo)
        self._end_outdated(echo)
        if self.process is not None or time.monotonic() < self.next_start:
            return False
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a list of arguments, without a shell
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started = time.monotonic()
        return True

    def _end_outdated(self, echo: Echo) -> None:
        """Kills the process if its file changed. A code server that is asked to end waits for its runs instead."""
        before, self._read = self._read, _state(self.reads)
        if self.process is not None and self._read != before:
            self.process.kill()
            self.process.wait()
            self.process = None
            echo(f"{self.reads} changed; the {self.name} starts again and reads it")

    def _note_end(self, code: int, echo: Echo) -> None:
        self.process = None
        early = time.monotonic() - self._started < FIRST_SECONDS and code >= 0  # a negative code: killed by a signal
        self.failed_starts = self.failed_starts + 1 if early else 0
        if self.failed_starts >= MAX_FAILED_STARTS:
            raise ServiceError(f"the {self.name} failed {self.failed_starts} times", "a start", self._last_lines())
        pause = min(MAX_PAUSE_S, 2.0 ** max(0, self.failed_starts - 1))
        self.next_start = time.monotonic() + pause
        why = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        echo(f"the {self.name} {why}; it starts again in {pause:.0f} s")

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "see its last lines:\n" + "\n".join(lines[-SHOWN_LINES:])


def _state(file: Path | None) -> FileState:
    try:
        found = file.stat() if file else None
    except FileNotFoundError:
        found = None
    return (found.st_size, found.st_mtime_ns) if found else None
