"""Whole processes as the work of a benchmark, each on its own copy of a storage root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from urgency_dagster.errors import BenchmarkError

WITH_DAGSTER = "from urgency_dagster.cli import main; main(['run', '--only', 'calls', '--storage', sys.argv[1]])"
"""What a `Process` runs to make everything that has landed up to `processed_data`."""


class Process:
    """A Python process that is started once per run, each time on its own copy of a storage root.

    Args:
        template: the storage root to copy; the copies are made here, before any clock runs.
        copies: the folder of the copies.
        runs: how many copies are needed.
        code: what it runs; `sys.argv[1]` is the root.
    """

    def __init__(self, template: Path, copies: Path, runs: int, code: str) -> None:
        self._roots = iter([Path(shutil.copytree(template, copies / str(run))) for run in range(runs)])
        self._code = code

    def run(self) -> Path:
        """The storage root that the process worked on.

        Raises:
            BenchmarkError: the process fails.
        """
        root = next(self._roots)
        # The settings of the root must win: those of this process may name other models and another history.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("URGENCY_") and k != "DAGSTER_HOME"}
        command = [sys.executable, "-c", f"import sys; {self._code}", str(root)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise BenchmarkError(f"a process ended with {done.returncode} ({' '.join(last)})", "0", "run it by hand")
        return root
